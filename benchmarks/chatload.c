/* chatload - single-threaded epoll load generator for chat servers.
 *
 * Speaks Engine.IO v4 / Socket.IO v5 over WebSocket.  Every text carries a marker
 *     ~CL<sender:6>.<seq:10>.<ns:19>~
 * so each receiver can check loss, duplication and order per sender, and can
 * measure send -> receive time with one monotonic clock.  With --numbered it also
 * checks the server's own numbers: each connection hears 1, 2, 3 ... of its room
 * without a hole, its own acknowledgements counted.
 *
 * Only events called "message" are deliveries; all others are counted apart.
 *
 * Build:  gcc -O2 -Wall -Wextra -o chatload chatload.c -lz
 *
 * Only loopback destinations are possible: this is a local test tool.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

#define MARK "~CL"
#define MARK_LEN 41 /* ~CL + 6 + . + 10 + . + 19 + ~ */
#define RXBUF (512 * 1024)

static inline uint64_t now_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* ---------------------------------------------------------------- histogram
 * log-linear, 128 steps per power of two: relative error below 0.8 % */
#define HSUB 7
#define HBUCKETS ((64 - HSUB) << HSUB)
typedef struct {
    uint64_t n, max;
    uint64_t b[HBUCKETS];
} hist;

static inline void hist_add(hist *h, uint64_t v) {
    unsigned idx;
    if (v < (1u << HSUB)) {
        idx = (unsigned)v;
    } else {
        unsigned e = 63u - (unsigned)__builtin_clzll(v);
        idx = ((e - HSUB + 1) << HSUB) + (unsigned)((v >> (e - HSUB)) & ((1u << HSUB) - 1));
    }
    h->b[idx]++;
    h->n++;
    if (v > h->max) h->max = v;
}

static double hist_q(const hist *h, double q) {
    if (!h->n) return 0;
    uint64_t want = (uint64_t)(q * (double)h->n), seen = 0;
    if (want >= h->n) want = h->n - 1;
    for (unsigned i = 0; i < HBUCKETS; i++) {
        seen += h->b[i];
        if (seen > want) {
            if (i < (1u << HSUB)) return (double)i;
            unsigned e = (i >> HSUB) + HSUB - 1;
            uint64_t lo = (1ull << e) + ((uint64_t)(i & ((1u << HSUB) - 1)) << (e - HSUB));
            uint64_t mid = lo + (1ull << (e - HSUB)) / 2;
            return (double)(mid > h->max ? h->max : mid);
        }
    }
    return (double)h->max;
}

/* ------------------------------------------------------------------ options */
static struct {
    const char *auth, *join, *msg, *pids;
    int port, conns, senders, rooms, size, par, srcs, window, stall;
    double duration, warmup, rate, drain, settle, conn_timeout, stall_for;
    bool deflate, numbered;
} O = {
    .auth = "", .join = "[\"join\",\"user%i@example.com\"]", .msg = "[\"message\",\"%p\"]", .pids = "",
    .port = 8080, .conns = 100, .senders = 1, .rooms = 1, .size = 64, .par = 64,
    .srcs = 1, .window = 1, .duration = 5, .warmup = 1, .rate = 0, .drain = 30,
    .settle = 1.5, .conn_timeout = 120, .stall_for = 5,
};

/* --------------------------------------------------------------- connection */
enum { ST_TCP, ST_HTTP, ST_OPEN, ST_NSP, ST_JOIN, ST_READY, ST_DEAD };

typedef struct {
    uint32_t last;  /* highest sequence number seen */
    uint32_t got;   /* distinct deliveries */
    uint64_t mask;  /* bit k: last-k was seen */
} pairst;

typedef struct conn {
    int fd, id, room, state, sender; /* sender: index among senders or -1 */
    uint32_t events;
    bool stalled, goodbye;
    uint32_t base, heard, top; /* --numbered: the cursor at the join, numbers heard since, the highest */
    char *part; /* unfinished input */
    size_t part_len, part_cap;
    char *out; /* unsent output */
    size_t out_len, out_cap, out_off;
    uint64_t t_start;
    pairst *pairs; /* senders of my room */
    z_stream *z;
} conn;

typedef struct {
    conn *c;
    uint32_t next_seq;  /* sequence number of the next message, from 1 */
    uint32_t acked;     /* messages acknowledged */
    int inflight;
    uint64_t *t_sent;   /* ring: time stamp by sequence number */
    uint32_t ring;
    char *head, *tail;  /* of the event around the text; the head may hold a place for a unique id */
    char *id;
} sender;

static int ep;
static conn *C;
static sender *S;
static int spr; /* senders per room (upper bound) */
static int n_ready, n_started, n_failed, n_pending, n_lost_conns, stalled_gone, goodbyes;
static uint64_t w0, w1; /* measured window */
static bool sending;
static hist h_ack, h_del, h_join;
static uint64_t deliveries_all, self_echo;
static uint64_t win_del, win_ack;
static uint64_t dups, ooo, holes, bad, refused, ack_disorder, other_events, other_frames, pings;
static uint64_t first_err_printed;
static char *rxb;
static uint32_t maskseed = 0x9e3779b9u;

static void die(const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    exit(2);
}

static void ep_set(conn *c, uint32_t ev) {
    if (c->events == ev) return;
    if (!ev) {
        epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
        c->events = 0;
        return;
    }
    struct epoll_event e = {.events = ev | EPOLLET, .data.ptr = c};
    epoll_ctl(ep, c->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &e);
    c->events = ev;
}

static void conn_dead(conn *c, const char *why) {
    if (c->state == ST_DEAD) return;
    if (!c->stalled && first_err_printed++ < 5)
        fprintf(stderr, "conn %d: %s (state %d, errno %d)\n", c->id, why, c->state, errno);
    if (c->state == ST_READY) {
        if (c->stalled)
            stalled_gone++;
        else
            n_lost_conns++;
        n_ready--;
    } else {
        n_failed++;
        n_pending--;
    }
    c->state = ST_DEAD;
    close(c->fd);
    c->events = 0;
    c->fd = -1;
}

static void conn_flush(conn *c) {
    while (c->out_off < c->out_len) {
        ssize_t n = send(c->fd, c->out + c->out_off, c->out_len - c->out_off, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) {
                ep_set(c, EPOLLIN | EPOLLOUT);
                return;
            }
            conn_dead(c, "send");
            return;
        }
        c->out_off += (size_t)n;
    }
    c->out_len = c->out_off = 0;
    ep_set(c, EPOLLIN);
}

static void conn_send(conn *c, const char *p, size_t n) {
    if (c->state == ST_DEAD) return;
    if (c->out_len == 0) {
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL);
        if (k == (ssize_t)n) {
            return;
        }
        if (k < 0) {
            if (errno != EAGAIN) {
                conn_dead(c, "send");
                return;
            }
            k = 0;
        }
        p += k;
        n -= (size_t)k;
    }
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (c->out_len + n) * 2 + 256;
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += n;
    ep_set(c, EPOLLIN | EPOLLOUT);
}

/* one masked client frame */
static void ws_send(conn *c, int opcode, const char *p, size_t n) {
    static char buf[1 << 17];
    if (n > sizeof buf - 16) die("message too large");
    size_t h = 2;
    buf[0] = (char)(0x80 | opcode);
    if (n < 126) {
        buf[1] = (char)(0x80 | n);
    } else {
        buf[1] = (char)(0x80 | 126);
        buf[2] = (char)(n >> 8);
        buf[3] = (char)n;
        h = 4;
    }
    maskseed = maskseed * 1664525u + 1013904223u;
    uint32_t m = maskseed;
    memcpy(buf + h, &m, 4);
    h += 4;
    uint64_t m8 = ((uint64_t)m << 32) | m;
    size_t i = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t v;
        memcpy(&v, p + i, 8);
        v ^= m8;
        memcpy(buf + h + i, &v, 8);
    }
    for (; i < n; i++) buf[h + i] = (char)(p[i] ^ ((const char *)&m)[i & 3]);
    conn_send(c, buf, h + n);
}

/* %i connection index, %r room index, %% percent */
static size_t expand(char *out, const char *tpl, const conn *c) {
    char *o = out;
    for (; *tpl; tpl++) {
        if (tpl[0] == '%' && tpl[1] == 'i') {
            o += sprintf(o, "%d", c->id);
            tpl++;
        } else if (tpl[0] == '%' && tpl[1] == 'r') {
            o += sprintf(o, "%d", c->room);
            tpl++;
        } else {
            *o++ = *tpl;
        }
    }
    *o = 0;
    return (size_t)(o - out);
}

static inline char *put_dec(char *o, uint64_t v, int w) {
    for (int i = w - 1; i >= 0; i--) {
        o[i] = (char)('0' + v % 10);
        v /= 10;
    }
    return o + w;
}

static inline uint64_t get_dec(const char *p, int w) {
    uint64_t v = 0;
    for (int i = 0; i < w; i++) v = v * 10 + (uint64_t)(p[i] - '0');
    return v;
}

#define NSP "/chat,"
#define ID_LEN 36 /* of a UUID */
static char *pad;

/* the parts of a sender's event that stay the same */
static void prepare_sender(sender *s) {
    char b[2048];
    expand(b, O.msg, s->c);
    char *p = strstr(b, "%p");
    if (!p) die("--msg needs %%p");
    s->tail = strdup(p + 2);
    *p = 0;
    char *u = strstr(b, "%u");
    if (u) {
        memmove(u + ID_LEN, u + 2, strlen(u + 2) + 1);
        memset(u, '0', ID_LEN);
        memcpy(u + 8, "-0000-7000-8000-", 16);
    }
    s->head = strdup(b);
    s->id = u ? s->head + (u - b) : NULL;
}

static void send_message(sender *s, uint64_t ts) {
    static char buf[1 << 16];
    conn *c = s->c;
    if (c->state != ST_READY) return;
    uint32_t seq = s->next_seq++;
    s->t_sent[seq & (s->ring - 1)] = ts;
    char *o = buf;
    o += sprintf(o, "42" NSP "%u", seq + 1);
    if (s->id) {
        /* a UUID of version 7, as Chatzilla's own page makes them: first the time in ms */
        char ms[13];
        sprintf(ms, "%012llx", (unsigned long long)(ts / 1000000u));
        memcpy(s->id, ms, 8);
        memcpy(s->id + 9, ms + 8, 4);
        put_dec(s->id + 24, (uint64_t)c->sender, 5);
        put_dec(s->id + 29, seq, 7);
    }
    size_t n = strlen(s->head);
    memcpy(o, s->head, n);
    o += n;
    memcpy(o, MARK, 3);
    o += 3;
    o = put_dec(o, (uint64_t)c->sender, 6);
    *o++ = '.';
    o = put_dec(o, seq, 10);
    *o++ = '.';
    o = put_dec(o, ts, 19);
    *o++ = '~';
    if (O.size > MARK_LEN) {
        memcpy(o, pad, (size_t)(O.size - MARK_LEN));
        o += O.size - MARK_LEN;
    }
    n = strlen(s->tail);
    memcpy(o, s->tail, n);
    o += n;
    s->inflight++;
    ws_send(c, 1, buf, (size_t)(o - buf));
}

/* ---------------------------------------------------------------- handshake */
static int set_nonblock(int fd) { return fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

static void conn_start(conn *c) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)O.port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket: %s", strerror(errno));
    set_nonblock(c->fd);
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (O.srcs > 1) {
        struct sockaddr_in b = {.sin_family = AF_INET};
        b.sin_addr.s_addr = htonl(0x7f000001u + 1u + (uint32_t)(c->id % O.srcs));
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        if (bind(c->fd, (void *)&b, sizeof b)) die("bind: %s", strerror(errno));
    }
    if (c->id >= O.conns - O.stall) { /* what one that does not read may leave to the kernel */
        int few = 64 * 1024;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &few, sizeof few);
    }
    c->t_start = now_ns();
    c->state = ST_TCP;
    n_started++;
    n_pending++;
    if (connect(c->fd, (void *)&a, sizeof a) && errno != EINPROGRESS) {
        conn_dead(c, "connect");
        return;
    }
    ep_set(c, EPOLLIN | EPOLLOUT);
}

static void conn_upgrade(conn *c) {
    char b[512];
    int n = snprintf(b, sizeof b,
                     "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                     "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n%s\r\n",
                     O.port, O.deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    c->state = ST_HTTP;
    ep_set(c, EPOLLIN);
    conn_send(c, b, (size_t)n);
}

static void conn_ready(conn *c) {
    c->state = ST_READY;
    n_pending--;
    n_ready++;
    hist_add(&h_join, now_ns() - c->t_start);
}

static void conn_join(conn *c) {
    char b[2048], t[1600];
    expand(t, O.join, c);
    size_t n = (size_t)sprintf(b, "42" NSP "1%s", t);
    c->state = ST_JOIN;
    ws_send(c, 1, b, n);
}

/* ------------------------------------------------------------------- frames */
/* the number after a key such as "seq": in a JSON object; 0 when it is not there */
static uint32_t number_after(const char *p, size_t n, const char *key, size_t key_n) {
    const char *q = memmem(p, n, key, key_n), *e = p + n;
    uint32_t v = 0;
    if (!q) return 0;
    for (q += key_n; q < e && *q == ' '; q++) {}
    for (; q < e && *q >= '0' && *q <= '9'; q++) v = v * 10 + (uint32_t)(*q - '0');
    return v;
}
#define NUMBER(p, n, key) number_after(p, n, "\"" key "\":", sizeof key + 2)

/* a number of the room was heard; senders learn theirs by acks, which may come before earlier events */
static void on_number(conn *c, uint32_t number) {
    if (c->sender < 0 && number != (c->top ? c->top : c->base) + 1) holes++;
    c->heard++;
    if (number > c->top) c->top = number;
}

static inline void on_ack(sender *s, uint32_t seq, uint64_t now) {
    uint64_t ts = s->t_sent[seq & (s->ring - 1)];
    s->inflight--;
    s->acked++;
    if (seq != s->acked) ack_disorder++;
    if (ts >= w0 && ts < w1) hist_add(&h_ack, now - ts);
    if (now >= w0 && now < w1) win_ack++;
    if (sending && O.rate == 0) send_message(s, now_ns());
}

static inline void on_delivery(conn *c, const char *m, uint64_t now) {
    uint32_t sid = (uint32_t)get_dec(m + 3, 6);
    uint32_t seq = (uint32_t)get_dec(m + 10, 10);
    uint64_t ts = get_dec(m + 21, 19);
    if (sid >= (uint32_t)O.senders || m[40] != '~') {
        bad++;
        return;
    }
    if (c->sender == (int)sid) {
        self_echo++;
        return;
    }
    if (S[sid].c->room != c->room) {
        bad++;
        return;
    }
    deliveries_all++;
    if (ts >= w0 && ts < w1) hist_add(&h_del, now > ts ? now - ts : 0);
    if (now >= w0 && now < w1) win_del++;
    pairst *p = &c->pairs[sid / (uint32_t)O.rooms];
    if (__builtin_expect(seq == p->last + 1, 1)) {
        p->last = seq;
        p->got++;
        p->mask = (p->mask << 1) | 1;
    } else if (seq > p->last) {
        uint32_t d = seq - p->last;
        p->mask = d < 64 ? (p->mask << d) | 1 : 1;
        p->last = seq;
        p->got++;
    } else {
        uint32_t d = p->last - seq;
        if (d < 64 && !(p->mask >> d & 1)) {
            p->mask |= 1ull << d;
            p->got++;
            ooo++;
        } else {
            dups++;
        }
    }
}

static inline bool begins(const char *p, size_t n, const char *with, size_t with_n) {
    return n >= with_n && !memcmp(p, with, with_n);
}
#define BEGINS(p, n, with) begins(p, n, with, sizeof with - 1)

static void on_event(conn *c, const char *p, size_t n, uint64_t now) {
    if (!BEGINS(p, n, "42" NSP "[\"message\",")) {
        other_events++;
        if (BEGINS(p, n, "42" NSP "[\"goodbye\",")) {
            c->goodbye = true;
            goodbyes++;
        }
        return;
    }
    if (c->stalled) return;
    if (O.numbered) on_number(c, NUMBER(p, n, "changed"));
    const char *m = memmem(p, n, MARK, 3);
    if (m && (size_t)(p + n - m) >= MARK_LEN)
        on_delivery(c, m, now);
    else
        other_events++;
}

static void on_answer(conn *c, const char *p, size_t n, uint64_t now) {
    uint32_t id = 0;
    const char *q = p + sizeof "43" NSP - 1, *e = p + n;
    while (q < e && *q >= '0' && *q <= '9') id = id * 10 + (uint32_t)(*q++ - '0');
    if (BEGINS(q, (size_t)(e - q), "[false") && refused++ < 3) fprintf(stderr, "refused: %.*s\n", (int)n, p);
    if (id == 1 && c->state == ST_JOIN) {
        if (O.numbered) c->base = NUMBER(q, (size_t)(e - q), "cursor");
        conn_ready(c);
    } else if (c->sender >= 0 && id >= 2) {
        if (O.numbered) on_number(c, NUMBER(q, (size_t)(e - q), "changed"));
        on_ack(&S[c->sender], id - 1, now);
    }
}

static void on_text(conn *c, const char *p, size_t n, uint64_t now) {
    if (BEGINS(p, n, "42" NSP)) {
        on_event(c, p, n, now);
    } else if (BEGINS(p, n, "43" NSP)) {
        on_answer(c, p, n, now);
    } else if (n == 1 && *p == '2') {
        pings++;
        ws_send(c, 1, "3", 1);
    } else if (n && *p == '0' && c->state == ST_OPEN) {
        char b[2048];
        int k = sprintf(b, "40" NSP "%s", O.auth);
        c->state = ST_NSP;
        ws_send(c, 1, b, (size_t)k);
    } else if (BEGINS(p, n, "40" NSP) && c->state == ST_NSP) {
        conn_join(c);
    } else if (BEGINS(p, n, "44" NSP)) {
        fprintf(stderr, "connect error: %.*s\n", (int)n, p);
        conn_dead(c, "connect refused");
    } else {
        other_frames++;
    }
}

static size_t inflate_msg(conn *c, const char *p, size_t n, char *out, size_t cap) {
    if (!c->z) {
        c->z = calloc(1, sizeof *c->z);
        if (inflateInit2(c->z, -15) != Z_OK) die("inflateInit");
    }
    static const unsigned char tail[4] = {0, 0, 0xff, 0xff};
    c->z->next_out = (void *)out;
    c->z->avail_out = (unsigned)cap;
    c->z->next_in = (void *)p;
    c->z->avail_in = (unsigned)n;
    inflate(c->z, Z_SYNC_FLUSH);
    c->z->next_in = (void *)tail;
    c->z->avail_in = 4;
    inflate(c->z, Z_SYNC_FLUSH);
    return cap - c->z->avail_out;
}

/* consumes as many frames as possible, returns bytes used */
static size_t on_frames(conn *c, char *p, size_t n, uint64_t now) {
    size_t used = 0;
    while (n - used >= 2 && c->state != ST_DEAD) {
        unsigned char *b = (unsigned char *)p + used;
        size_t len = b[1] & 0x7f, h = 2, avail = n - used;
        if (b[1] & 0x80) {
            conn_dead(c, "masked server frame");
            break;
        }
        if (len == 126) {
            if (avail < 4) break;
            len = (size_t)b[2] << 8 | b[3];
            h = 4;
        } else if (len == 127) {
            if (avail < 10) break;
            len = 0;
            for (int i = 2; i < 10; i++) len = len << 8 | b[i];
            h = 10;
        }
        if (avail < h + len) break;
        int op = b[0] & 0x0f;
        char *q = (char *)b + h;
        if (op == 1 || op == 2) {
            if (!(b[0] & 0x80)) bad++;
            if (b[0] & 0x40) {
                static char big[1 << 17];
                size_t k = inflate_msg(c, q, len, big, sizeof big);
                on_text(c, big, k, now);
            } else {
                on_text(c, q, len, now);
            }
        } else if (op == 9) {
            ws_send(c, 10, q, len);
        } else if (op == 8) {
            conn_dead(c, "close frame");
            break;
        }
        used += h + len;
    }
    return used;
}

static void on_readable(conn *c) {
    for (;;) {
        char *base = rxb;
        size_t have = c->part_len;
        if (have) memcpy(base, c->part, have);
        ssize_t n = recv(c->fd, base + have, RXBUF - have, 0);
        if (n < 0) {
            if (errno == EAGAIN || errno == EINTR) return;
            conn_dead(c, "recv");
            return;
        }
        if (n == 0) {
            errno = 0;
            conn_dead(c, "closed by server");
            return;
        }
        uint64_t now = now_ns();
        size_t tot = have + (size_t)n, used = 0;
        if (c->state == ST_HTTP) {
            char *e = memmem(base, tot, "\r\n\r\n", 4);
            if (e) {
                if (tot < 12 || memcmp(base + 9, "101", 3)) {
                    if (first_err_printed < 5) fprintf(stderr, "%.*s\n", (int)(tot > 300 ? 300 : tot), base);
                    conn_dead(c, "no upgrade");
                    return;
                }
                used = (size_t)(e + 4 - base);
                c->state = ST_OPEN;
            }
        }
        if (c->state != ST_HTTP && c->state != ST_DEAD)
            used += on_frames(c, base + used, tot - used, now);
        if (c->state == ST_DEAD) return;
        size_t left = tot - used;
        if (left) {
            if (left > c->part_cap) {
                c->part_cap = left * 2 + 256;
                c->part = realloc(c->part, c->part_cap);
            }
            memcpy(c->part, base + used, left);
        }
        c->part_len = left;
        if ((size_t)n < RXBUF - have) return;
    }
}

static void poll_once(uint64_t until) {
    static struct epoll_event ev[1024];
    uint64_t now = now_ns();
    struct timespec ts = {0, 0};
    if (until > now) {
        uint64_t d = until - now;
        ts.tv_sec = (time_t)(d / 1000000000ull);
        ts.tv_nsec = (long)(d % 1000000000ull);
    }
    int k = epoll_pwait2(ep, ev, 1024, &ts, NULL);
    for (int i = 0; i < k; i++) {
        conn *c = ev[i].data.ptr;
        if (c->state == ST_DEAD) continue;
        if (ev[i].events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) {
            if (c->state == ST_TCP) {
                int e = 0;
                socklen_t l = sizeof e;
                getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
                if (e) {
                    errno = e;
                    conn_dead(c, "connect");
                    continue;
                }
                conn_upgrade(c);
                continue;
            }
            if (c->out_len) conn_flush(c);
        }
        if (c->state != ST_DEAD && (ev[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP))) on_readable(c);
    }
}

/* those that did not read do so again, down to the goodbye if there is one */
static void stalled_read_again(void) {
    for (int i = O.conns - O.stall; i < O.conns; i++) {
        if (C[i].state != ST_READY) continue;
        ep_set(&C[i], EPOLLIN);
        on_readable(&C[i]);
    }
}

/* -------------------------------------------------- server cpu and rss by pid */
static uint64_t pid_cpu_ns(const char *list) {
    uint64_t tot = 0;
    char l[512];
    snprintf(l, sizeof l, "%s", list);
    for (char *sv, *t = strtok_r(l, ",", &sv); t; t = strtok_r(NULL, ",", &sv)) {
        char d[128];
        snprintf(d, sizeof d, "/proc/%s/task", t);
        DIR *dir = opendir(d);
        if (!dir) continue;
        struct dirent *e;
        while ((e = readdir(dir))) {
            if (e->d_name[0] == '.') continue;
            char f[512];
            snprintf(f, sizeof f, "%s/%s/schedstat", d, e->d_name);
            FILE *fp = fopen(f, "r");
            unsigned long long v = 0;
            if (fp) {
                if (fscanf(fp, "%llu", &v) == 1) tot += v;
                fclose(fp);
            }
        }
        closedir(dir);
    }
    return tot;
}

static long pid_kb(const char *list, const char *key) {
    long tot = 0;
    char l[512];
    snprintf(l, sizeof l, "%s", list);
    for (char *sv, *t = strtok_r(l, ",", &sv); t; t = strtok_r(NULL, ",", &sv)) {
        char f[128], line[256];
        snprintf(f, sizeof f, "/proc/%s/status", t);
        FILE *fp = fopen(f, "r");
        if (!fp) continue;
        while (fgets(line, sizeof line, fp))
            if (!strncmp(line, key, strlen(key))) tot += atol(line + strlen(key) + 1);
        fclose(fp);
    }
    return tot;
}

static long tcp_mem_pages(void) {
    FILE *fp = fopen("/proc/net/sockstat", "r");
    char line[256];
    long v = -1;
    if (!fp) return -1;
    while (fgets(line, sizeof line, fp)) {
        char *m = strstr(line, " mem ");
        if (!strncmp(line, "TCP:", 4) && m) v = atol(m + 5);
    }
    fclose(fp);
    return v;
}

static uint64_t self_cpu_ns(void) {
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000ull + (uint64_t)ts.tv_nsec;
}

/* --------------------------------------------------------------------- main */
static void usage(void) {
    fputs(
        "chatload [options]\n"
        " --port P             the server's, on 127.0.0.1 (8080)\n"
        " --auth JSON          CONNECT payload (none)\n"
        " --join TPL           join event; %i is the connection, %r its room ([\"join\",\"user%i@example.com\"])\n"
        " --msg TPL            message event; %p is the text, %u a unique id, %r the room ([\"message\",\"%p\"])\n"
        " --numbered           check the server's own numbers, as the full dialect has them\n"
        " --conns N --par K    connections, handshakes in flight (100, 64)\n"
        " --rooms K            connection c is in room c mod K (1)\n"
        " --senders S          the first S connections send (1); 0 is an idle run\n"
        " --window W           closed loop: messages in flight per sender (1)\n"
        " --rate R             open loop: messages/s in total, evenly spaced; times count from the schedule\n"
        " --size B             bytes of the text, at least 41 (64)\n"
        " --settle SEC         pause between the joins and the sending (1.5)\n"
        " --warmup SEC --duration SEC --drain SEC   (1, 5, 30)\n"
        " --conn-timeout SEC   for all joins together (120)\n"
        " --stall K --stall-for SEC   the last K connections stop reading that long, then read to the end (0, 5)\n"
        " --deflate            offer permessage-deflate\n"
        " --srcs K             spread over K loopback source addresses (1)\n"
        " --pid P[,P]          report CPU and RSS of these server processes\n",
        stderr);
    exit(2);
}

enum { OPT_BASE = 1000 };
#define OPTS(X)                                                                                          \
    X(port) X(auth) X(join) X(msg) X(conns) X(par) X(rooms) X(senders) X(window) X(rate) X(size) X(settle) \
    X(warmup) X(duration) X(drain) X(srcs) X(pid) X(stall)
enum {
#define X(n) o_##n,
    o_first = OPT_BASE, OPTS(X) o_numbered, o_deflate, o_conntimeout, o_stallfor
#undef X
};

int main(int argc, char **argv) {
    static const struct option lo[] = {
#define X(n) {#n, required_argument, 0, o_##n},
        OPTS(X)
#undef X
        {"numbered", no_argument, 0, o_numbered}, {"deflate", no_argument, 0, o_deflate},
        {"conn-timeout", required_argument, 0, o_conntimeout}, {"stall-for", required_argument, 0, o_stallfor},
        {0, 0, 0, 0}};
    for (int k; (k = getopt_long(argc, argv, "", lo, NULL)) != -1;) {
        switch (k) {
        case o_port: O.port = atoi(optarg); break;
        case o_auth: O.auth = optarg; break;
        case o_join: O.join = optarg; break;
        case o_msg: O.msg = optarg; break;
        case o_conns: O.conns = atoi(optarg); break;
        case o_par: O.par = atoi(optarg); break;
        case o_rooms: O.rooms = atoi(optarg); break;
        case o_senders: O.senders = atoi(optarg); break;
        case o_window: O.window = atoi(optarg); break;
        case o_rate: O.rate = atof(optarg); break;
        case o_size: O.size = atoi(optarg); break;
        case o_settle: O.settle = atof(optarg); break;
        case o_warmup: O.warmup = atof(optarg); break;
        case o_duration: O.duration = atof(optarg); break;
        case o_drain: O.drain = atof(optarg); break;
        case o_srcs: O.srcs = atoi(optarg); break;
        case o_pid: O.pids = optarg; break;
        case o_conntimeout: O.conn_timeout = atof(optarg); break;
        case o_stall: O.stall = atoi(optarg); break;
        case o_stallfor: O.stall_for = atof(optarg); break;
        case o_numbered: O.numbered = true; break;
        case o_deflate: O.deflate = true; break;
        default: usage();
        }
    }
    signal(SIGPIPE, SIG_IGN);
    if (O.senders > O.conns) O.senders = O.conns;
    if (O.stall > O.conns - O.senders) O.stall = O.conns - O.senders;
    if (O.size < MARK_LEN) O.size = MARK_LEN;
    if (O.size > 60000) die("--size at most 60000");
    pad = malloc((size_t)O.size + 1);
    for (int i = 0; i < O.size; i++) pad[i] = "the quick brown fox jumps over the lazy dog "[i % 44];

    struct rlimit rl;
    getrlimit(RLIMIT_NOFILE, &rl);
    rlim_t want = (rlim_t)O.conns + 64;
    if (rl.rlim_cur < want) {
        struct rlimit r2 = {want, rl.rlim_max > want ? rl.rlim_max : want};
        if (setrlimit(RLIMIT_NOFILE, &r2)) {
            r2.rlim_cur = r2.rlim_max = rl.rlim_max;
            setrlimit(RLIMIT_NOFILE, &r2);
            if (rl.rlim_max < want) die("need %lu descriptors", (unsigned long)want);
        }
    }

    ep = epoll_create1(EPOLL_CLOEXEC);
    rxb = malloc(RXBUF + 64);
    C = calloc((size_t)O.conns, sizeof *C);
    S = calloc((size_t)O.senders, sizeof *S);
    spr = (O.senders + O.rooms - 1) / O.rooms;
    if (spr < 1) spr = 1;
    pairst *pairs = calloc((size_t)O.conns * (size_t)spr, sizeof *pairs);
    uint32_t ring = 1024;
    while (ring < (uint32_t)O.window * 2) ring <<= 1;
    if (O.rate > 0 && O.senders > 0)
        while (ring < 4 * O.rate / O.senders && ring < 1u << 20) ring <<= 1;
    for (int i = 0; i < O.conns; i++) {
        C[i].id = i;
        C[i].fd = -1;
        C[i].room = i % O.rooms;
        C[i].sender = i < O.senders ? i : -1;
        C[i].pairs = pairs + (size_t)i * (size_t)spr;
        if (i < O.senders) {
            S[i].c = &C[i];
            S[i].next_seq = 1;
            S[i].ring = ring;
            S[i].t_sent = calloc(ring, sizeof(uint64_t));
            prepare_sender(&S[i]);
        }
    }

    /* connect and join */
    long rss0 = pid_kb(O.pids, "VmRSS:"), tcpm0 = tcp_mem_pages();
    uint64_t cpu_c0 = pid_cpu_ns(O.pids);
    uint64_t t0 = now_ns(), limit = t0 + (uint64_t)(O.conn_timeout * 1e9);
    w0 = w1 = UINT64_MAX;
    while (n_ready + n_failed < O.conns && now_ns() < limit) {
        while (n_started < O.conns && n_pending < O.par) conn_start(&C[n_started]);
        poll_once(now_ns() + 100000000ull);
    }
    uint64_t t_joined = now_ns();
    double join_s = (double)(t_joined - t0) / 1e9;
    double conn_cpu = (double)(pid_cpu_ns(O.pids) - cpu_c0) / 1e9;
    int joined = n_ready;
    if (!joined) die("no connection came up");
    uint64_t until = t_joined + (uint64_t)(O.settle * 1e9);
    while (now_ns() < until) poll_once(until);
    long rss1 = pid_kb(O.pids, "VmRSS:"), tcpm1 = tcp_mem_pages();

    for (int i = O.conns - O.stall; i < O.conns; i++)
        if (C[i].state == ST_READY) {
            ep_set(&C[i], 0);
            C[i].stalled = true;
        }

    /* send */
    uint64_t ts0 = now_ns();
    w0 = ts0 + (uint64_t)(O.warmup * 1e9);
    w1 = w0 + (uint64_t)(O.duration * 1e9);
    sending = O.senders > 0;
    uint64_t cpu_self0 = 0, cpu_srv0 = 0, cpu_self1 = 0, cpu_srv1 = 0, late_max = 0;
    uint64_t resume = O.stall ? ts0 + (uint64_t)(O.stall_for * 1e9) : UINT64_MAX;
    bool started = false;
    if (sending && O.rate == 0)
        for (int w = 0; w < O.window; w++)
            for (int i = 0; i < O.senders; i++) send_message(&S[i], now_ns());
    double gap = O.rate > 0 ? 1e9 / O.rate : 0;
    uint64_t k = 0;
    for (;;) {
        uint64_t now = now_ns();
        if (!started && now >= w0) {
            started = true;
            cpu_self0 = self_cpu_ns();
            cpu_srv0 = pid_cpu_ns(O.pids);
        }
        if (now >= w1) break;
        uint64_t wake = started ? w1 : w0;
        if (O.rate > 0 && sending) {
            uint64_t due;
            while ((due = ts0 + (uint64_t)((double)k * gap)) <= now) {
                if (now - due > late_max && due >= w0) late_max = now - due;
                send_message(&S[k % (uint64_t)O.senders], due);
                k++;
            }
            if (due < wake) wake = due;
        }
        if (now >= resume) {
            stalled_read_again();
            resume = UINT64_MAX;
        }
        poll_once(wake);
    }
    cpu_self1 = self_cpu_ns();
    cpu_srv1 = pid_cpu_ns(O.pids);
    double wall = (double)(now_ns() - w0) / 1e9;
    sending = false;

    /* drain */
    uint64_t expect = 0;
    for (int i = 0; i < O.senders; i++) {
        int room = S[i].c->room, members = O.conns / O.rooms + (room < O.conns % O.rooms);
        for (int j = O.conns - O.stall; j < O.conns; j++) members -= C[j].stalled && C[j].room == room;
        expect += (uint64_t)(S[i].next_seq - 1) * (uint64_t)(members - 1);
    }
    uint64_t drain0 = now_ns(), dl = drain0 + (uint64_t)(O.drain * 1e9);
    while (now_ns() < dl) {
        uint64_t outstanding = 0;
        for (int i = 0; i < O.senders; i++) outstanding += (uint64_t)(S[i].inflight > 0 ? S[i].inflight : 0);
        if (deliveries_all >= expect && !outstanding) break;
        poll_once(now_ns() + 20000000ull);
    }
    double drain_s = (double)(now_ns() - drain0) / 1e9;
    for (uint64_t end = now_ns() + 200000000ull; now_ns() < end;) poll_once(end); /* whatever comes twice */
    uint64_t got = 0, sent = 0, acked = 0, unacked = 0;
    for (int i = 0; i < O.conns; i++)
        for (int j = 0; j < spr; j++) got += C[i].pairs[j].got;
    if (O.numbered)
        for (int i = 0; i < O.conns; i++)
            if (C[i].top && !C[i].stalled && C[i].heard != C[i].top - C[i].base) holes++;
    for (int i = 0; i < O.senders; i++) {
        sent += S[i].next_seq - 1;
        acked += S[i].acked;
        if (S[i].inflight > 0) unacked += (uint64_t)S[i].inflight;
    }
    long hwm = pid_kb(O.pids, "VmHWM:");
    double srv = (double)(cpu_srv1 - cpu_srv0) / 1e9, self = (double)(cpu_self1 - cpu_self0) / 1e9;

#define U(name, value) printf("\"" name "\":%llu,", (unsigned long long)(value))
#define F(name, value) printf("\"" name "\":%.3f,", (double)(value))
    printf("{");
    U("conns", O.conns), U("joined", joined), U("failed", n_failed), U("lost_conns", n_lost_conns);
    U("sent", sent), U("acked", acked), U("unacked", unacked), U("refused", refused), U("ack_disorder", ack_disorder);
    U("expected", expect), U("delivered", got), printf("\"lost\":%lld,", (long long)expect - (long long)got);
    U("dup", dups), U("out_of_order", ooo), U("holes", holes), U("bad", bad), U("self_echo", self_echo);
    U("other_events", other_events), U("other_frames", other_frames), U("pings", pings);
    U("stalled", O.stall), U("stalled_gone", stalled_gone), U("goodbyes", goodbyes);
    F("joins_per_s", joined / join_s), F("join_server_us", conn_cpu * 1e6 / joined);
    F("join_p50_ms", hist_q(&h_join, .5) / 1e6), F("join_p99_ms", hist_q(&h_join, .99) / 1e6);
    F("wall_s", wall), F("msgs_per_s", (double)win_ack / wall), F("dels_per_s", (double)win_del / wall);
    F("server_cpu_s", srv), F("server_us_per_del", win_del ? srv * 1e6 / (double)win_del : 0);
    F("server_us_per_msg", win_ack ? srv * 1e6 / (double)win_ack : 0);
    F("gen_cpu_pct", self / wall * 100), F("gen_late_ms", (double)late_max / 1e6), F("drain_s", drain_s);
    F("ack_p50_ms", hist_q(&h_ack, .5) / 1e6), F("ack_p99_ms", hist_q(&h_ack, .99) / 1e6);
    F("del_p50_ms", hist_q(&h_del, .5) / 1e6), F("del_p99_ms", hist_q(&h_del, .99) / 1e6);
    F("del_max_ms", (double)h_del.max / 1e6);
    F("rss_joined_kb", rss1), F("rss_peak_kb", hwm), F("peak_per_conn_kb", (double)(hwm - rss0) / joined);
    F("rss_per_conn_kb", (double)(rss1 - rss0) / joined);
    printf("\"tcp_mem_per_conn_kb\":%.3f}\n", (double)(tcpm1 - tcpm0) * 4.0 / joined);
    return 0;
}
