/* See srt_callers.h. */
#define _GNU_SOURCE
#include "srt_callers.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <srt/srt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MOST_READY 64
#define DRAIN_NS 2000000000u
#define CONNECT_NS 10000000000u

uint64_t now_ns(void);
noreturn void fail(const char *who, const char *what);

noreturn void srt_fail(const char *program, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", program, what, srt_getlasterror_str());
    _exit(2);
}

static void set(const char *program, SRTSOCKET s, SRT_SOCKOPT name, int value)
{
    if (value >= 0 && srt_setsockflag(s, name, &value, sizeof value) == SRT_ERROR)
        srt_fail(program, "srt_setsockflag");
}

/* Callers of one port bind to it with the same options, so libsrt gives them one multiplexer. */
static SRTSOCKET caller(const struct caller_options *o, struct sockaddr_in *local)
{
    SRTSOCKET s = srt_create_socket();
    if (s == SRT_INVALID_SOCK)
        srt_fail(o->program, "srt_create_socket");
    if (*o->passphrase && srt_setsockflag(s, SRTO_PASSPHRASE, o->passphrase, (int)strlen(o->passphrase)) == SRT_ERROR)
        srt_fail(o->program, "SRTO_PASSPHRASE");
    set(o->program, s, SRTO_SNDSYN, 0);
    set(o->program, s, SRTO_RCVSYN, 0);
    set(o->program, s, SRTO_PEERLATENCY, o->latency_ms);
    set(o->program, s, SRTO_FC, o->fc);
    set(o->program, s, SRTO_SNDBUF, o->send_buffer);
    set(o->program, s, SRTO_RCVBUF, o->receive_buffer);
    set(o->program, s, SRTO_UDP_SNDBUF, o->udp_send_buffer);
    set(o->program, s, SRTO_UDP_RCVBUF, o->udp_receive_buffer);
    if (srt_bind(s, (struct sockaddr *)local, sizeof *local) == SRT_ERROR)
        srt_fail(o->program, "srt_bind");
    int size = sizeof *local;
    if (srt_getsockname(s, (struct sockaddr *)local, &size) == SRT_ERROR)
        srt_fail(o->program, "srt_getsockname");
    return s;
}

static void until_connected(const char *program, int epoll, int left)
{
    SRT_EPOLL_EVENT ready[MOST_READY];
    uint64_t deadline = now_ns() + CONNECT_NS;
    while (left > 0) {
        int n = srt_epoll_uwait(epoll, ready, MOST_READY, 100);
        if (now_ns() > deadline)
            srt_fail(program, "not connected within 10 s");
        for (int i = 0; i < n && i < MOST_READY; i++) {   /* n counts the ready ones beyond the array too */
            if (srt_getsockstate(ready[i].fd) != SRTS_CONNECTED) {
                fprintf(stderr, "%s: connect: %s\n", program, srt_rejectreason_str(srt_getrejectreason(ready[i].fd)));
                _exit(2);
            }
            srt_epoll_remove_usock(epoll, ready[i].fd);
            left--;
        }
    }
}

void srt_connect_all(const struct caller_options *o, const uint16_t *ports, int *sockets, int count)
{
    if (srt_startup() < 0)
        srt_fail(o->program, "srt_startup");
    int epoll = srt_epoll_create(), events = SRT_EPOLL_OUT | SRT_EPOLL_ERR;
    struct sockaddr_in local = {.sin_family = AF_INET};
    for (int i = 0; i < count; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(ports[i])};
        errno = 0;
        if (inet_pton(AF_INET, o->host, &to.sin_addr) != 1)
            fail(o->program, "--host");
        if (i % o->sockets_per_port == 0)
            local = (struct sockaddr_in){.sin_family = AF_INET};
        SRTSOCKET s = caller(o, &local);
        if (srt_epoll_add_usock(epoll, s, &events) == SRT_ERROR || srt_connect(s, (struct sockaddr *)&to, sizeof to) == SRT_ERROR)
            srt_fail(o->program, "srt_connect");
        sockets[i] = s;
    }
    until_connected(o->program, epoll, count);
    srt_epoll_release(epoll);
}

void srt_drain(const int *sockets, int count)
{
    struct timespec pause = {.tv_nsec = 5000000};
    uint64_t deadline = now_ns() + DRAIN_NS;
    for (int i = 0; i < count; i++) {
        size_t blocks, bytes;
        while (srt_getsndbuffer(sockets[i], &blocks, &bytes) != SRT_ERROR && blocks && now_ns() < deadline)
            nanosleep(&pause, NULL);
    }
}
