/* A disk that fails when told: preloaded into the server, it stands between SQLite and the kernel.
 *
 * The test writes what shall happen into a small shared file (TORTURE_DISK); only files under TORTURE_DATA are harmed.
 * Build: cc -shared -fPIC -O2 -o disk.so disk.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

struct orders {
    volatile int32_t refuse;   /* errno of every write, or 0 */
    volatile int32_t delay_us; /* how long a sync takes */
    volatile int32_t die_at;   /* the process kills itself at this many syncs from now; 0 is never */
    volatile int32_t before;   /* whether it dies before that sync instead of after it */
};

static struct orders *orders;
static const char *folder;

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("TORTURE_DISK");
    folder = getenv("TORTURE_DATA");
    if (!path || !folder) return;
    int file = open(path, O_RDWR);
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *orders, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED) orders = shared;
}

static int ours(int file)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0) return 0;
    path[size] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

#define REFUSED(file) (orders && orders->refuse && ours(file) && (errno = orders->refuse))
#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int file, const void *data, size_t size)
{
    return REFUSED(file) ? -1 : NEXT(write)(file, data, size);
}

ssize_t pwrite(int file, const void *data, size_t size, off_t at)
{
    return REFUSED(file) ? -1 : NEXT(pwrite)(file, data, size, at);
}

ssize_t pwrite64(int file, const void *data, size_t size, off64_t at)
{
    return REFUSED(file) ? -1 : NEXT(pwrite64)(file, data, size, at);
}

int ftruncate(int file, off_t size)
{
    return REFUSED(file) ? -1 : NEXT(ftruncate)(file, size);
}

int ftruncate64(int file, off64_t size)
{
    return REFUSED(file) ? -1 : NEXT(ftruncate64)(file, size);
}

static void before_sync(int file)
{
    if (!orders || !ours(file)) return;
    if (orders->delay_us) usleep((useconds_t)orders->delay_us);
    if (orders->die_at == 1 && orders->before) kill(getpid(), SIGKILL);
}

static void after_sync(int file)
{
    if (!orders || !orders->die_at || !ours(file)) return;
    if (--orders->die_at == 0) kill(getpid(), SIGKILL);
}

int fsync(int file)
{
    before_sync(file);
    int result = NEXT(fsync)(file);
    after_sync(file);
    return result;
}

int fdatasync(int file)
{
    before_sync(file);
    int result = NEXT(fdatasync)(file);
    after_sync(file);
    return result;
}
