/* chatlimit - smallest possible broadcast server, used as the physical limit.
 *
 * One thread, epoll, one send() per receiver and message.  It speaks just enough
 * Engine.IO v4 / Socket.IO v5 over WebSocket to serve chatload: connect, join
 * (optional third element "roomN"), message with ack, broadcast to everybody else
 * in the room.  No validation, no timers, no storage: NOT a server to use.
 *
 *   chatlimit PORT
 *
 * Build: gcc -O2 -Wall -Wextra -o chatlimit chatlimit.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct conn {
    int fd, room, slot; /* slot: index in its room, -1 = not joined */
    bool http, wantout;
    char *in;
    uint32_t in_len, in_cap;
    char *out;
    uint32_t out_len, out_cap;
} conn;

typedef struct { conn **m; int n, cap; } room;

static int ep;
static room *R;
static int nrooms;
static char rx[1 << 18];

/* ------------------------------------------------------------------ output */
static void want_out(conn *c, bool on) {
    if (c->wantout == on) return;
    c->wantout = on;
    struct epoll_event e = {.events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void buffer(conn *c, const char *p, size_t n) {
    if (c->out_len + n > c->out_cap) {
        c->out_cap = (uint32_t)((c->out_len + n) * 2 + 256);
        c->out = realloc(c->out, c->out_cap);
    }
    memcpy(c->out + c->out_len, p, n);
    c->out_len += (uint32_t)n;
}

static void put(conn *c, const char *p, size_t n) {
    if (c->out_len == 0) {
        ssize_t k = send(c->fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (k == (ssize_t)n) return;
        if (k < 0) { if (errno != EAGAIN) return; k = 0; }
        p += k; n -= (size_t)k;
    }
    buffer(c, p, n);
    want_out(c, true);
}

static void flush(conn *c) {
    ssize_t k = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (k < 0) { if (errno != EAGAIN) { c->out_len = 0; return; } k = 0; }
    c->out_len -= (uint32_t)k;
    if (c->out_len) memmove(c->out, c->out + k, c->out_len);
    want_out(c, c->out_len > 0);
}

static size_t frame(char *o, const char *p, size_t n) {
    size_t h = 2;
    o[0] = (char)0x81;
    if (n < 126) o[1] = (char)n;
    else { o[1] = 126; o[2] = (char)(n >> 8); o[3] = (char)n; h = 4; }
    memcpy(o + h, p, n);
    return h + n;
}

static void text(conn *c, const char *p, size_t n) {
    char b[4096];
    put(c, b, frame(b, p, n));
}

static void broadcast(room *r, conn *from, const char *f, size_t n) {
    for (int i = 0; i < r->n; i++)
        if (r->m[i] != from) put(r->m[i], f, n);
}

/* ------------------------------------------------------------------- input */
static void leave(conn *c) {
    if (c->slot >= 0) {
        room *r = &R[c->room];
        conn *l = r->m[--r->n];
        r->m[c->slot] = l;
        l->slot = c->slot;
    }
}

static void join(conn *c, int n) {
    if (n >= nrooms) {
        int k = n + 16;
        R = realloc(R, sizeof *R * (size_t)k);
        memset(R + nrooms, 0, sizeof *R * (size_t)(k - nrooms));
        nrooms = k;
    }
    room *r = &R[n];
    if (r->n == r->cap) r->m = realloc(r->m, sizeof *r->m * (size_t)(r->cap = r->cap * 2 + 64));
    c->room = n;
    c->slot = r->n;
    r->m[r->n++] = c;
}

static void on_text(conn *c, char *p, size_t n) {
    if (n >= 2 && p[0] == '4' && p[1] == '0') {
        text(c, "40/chat,{\"sid\":\"aaaaaaaaaaaaaaaaaaaa\"}", 37);
        return;
    }
    if (n < 10 || memcmp(p, "42/chat,", 8)) return;
    unsigned id = 0;
    char *q = p + 8, *e = p + n;
    while (q < e && *q >= '0' && *q <= '9') id = id * 10 + (unsigned)(*q++ - '0');
    char ack[64];
    if (e - q > 7 && !memcmp(q, "[\"join\"", 7)) {
        char *r = memmem(q, (size_t)(e - q), "\"room", 5);
        join(c, r ? atoi(r + 5) : 0);
    } else {
        static char out[1 << 17], body[1 << 17];
        memcpy(body, "42/chat,", 8);
        memcpy(body + 8, q, (size_t)(e - q));
        size_t m = frame(out, body, 8 + (size_t)(e - q));
        if (c->slot >= 0) broadcast(&R[c->room], c, out, m);
    }
    size_t k = (size_t)sprintf(ack, "43/chat,%u[true]", id);
    text(c, ack, k);
}

static void closed(conn *c) {
    leave(c);
    close(c->fd);
    free(c->in);
    free(c->out);
    free(c);
}

static bool on_read(conn *c) {
    size_t have = c->in_len;
    if (have) memcpy(rx, c->in, have);
    ssize_t k = recv(c->fd, rx + have, sizeof rx - have, MSG_DONTWAIT);
    if (k <= 0) {
        if (k < 0 && errno == EAGAIN) return true;
        return false;
    }
    size_t n = have + (size_t)k, used = 0;
    if (c->http) {
        char *e = memmem(rx, n, "\r\n\r\n", 4);
        if (e) {
            static const char up[] = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                     "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
            used = (size_t)(e + 4 - rx);
            c->http = false;
            put(c, up, sizeof up - 1);
            static const char op[] = "0{\"sid\":\"x\",\"upgrades\":[],\"pingTimeout\":20000,\"pingInterval\":25000,\"maxPayload\":1000000}";
            text(c, op, sizeof op - 1);
        }
    }
    while (!c->http && n - used >= 6) {
        unsigned char *b = (unsigned char *)rx + used;
        size_t len = b[1] & 0x7f, h = 2;
        if (len == 126) { len = (size_t)b[2] << 8 | b[3]; h = 4; }
        else if (len == 127) return false;
        if (n - used < h + 4 + len) break;
        unsigned char *m = b + h, *p = m + 4;
        for (size_t i = 0; i < len; i++) p[i] ^= m[i & 3];
        if ((b[0] & 15) == 8) return false;
        on_text(c, (char *)p, len);
        used += h + 4 + len;
    }
    if (n - used > c->in_cap) c->in = realloc(c->in, c->in_cap = (uint32_t)(n - used) * 2);
    memcpy(c->in, rx + used, n - used);
    c->in_len = (uint32_t)(n - used);
    return true;
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: chatlimit PORT\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    ep = epoll_create1(0);
    int l = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    inet_pton(AF_INET, "127.0.0.1", &a.sin_addr);
    if (bind(l, (void *)&a, sizeof a) || listen(l, 4096)) { perror("listen"); return 2; }
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL}, ev[512];
    epoll_ctl(ep, EPOLL_CTL_ADD, l, &e);
    for (;;) {
        int k = epoll_wait(ep, ev, 512, -1);
        for (int i = 0; i < k; i++) {
            conn *c = ev[i].data.ptr;
            if (!c) {
                int fd = accept4(l, NULL, NULL, SOCK_NONBLOCK);
                if (fd < 0) continue;
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                c = calloc(1, sizeof *c);
                c->fd = fd; c->slot = -1; c->http = true;
                struct epoll_event x = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(ep, EPOLL_CTL_ADD, fd, &x);
                continue;
            }
            if ((ev[i].events & EPOLLOUT) && c->out_len) flush(c);
            if (ev[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                if (!on_read(c)) closed(c);
        }
    }
}
