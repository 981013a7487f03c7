/*
 * Discards byte streams: accepts any number of connections, lets the kernel throw the bytes away (MSG_TRUNC, nothing is copied).
 *
 *   discard_tcp                  counts every byte
 *   discard_tcp rtmp             answers an RTMP publish first, counts what comes after it, and acknowledges as a server does
 */
#define _GNU_SOURCE
#include "discard.h"
#include "rtmp_answer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 20000
#define READ_BYTES (1 << 20)
#define MOST_READY 256
#define LISTENER (MOST_CONNECTIONS)
#define STOP (MOST_CONNECTIONS + 1)
#define MARK (MOST_CONNECTIONS + 2)

struct connection {
    struct rtmp_answer *answer;  /* until publish is answered; NULL in a plain stream */
    uint64_t received;           /* with handshake and commands */
    uint64_t acknowledged;
    uint32_t window;             /* bytes between two acknowledgements, 0: none are sent */
    int fd;
};

static struct arrival arrivals[MOST_CONNECTIONS];
static struct connection connections[MOST_CONNECTIONS];

static int accept_all(int listener, int epoll, int count, int rtmp)
{
    while (count < MOST_CONNECTIONS) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)count};
        struct connection *c = &connections[count++];
        *c = (struct connection){.fd = fd, .answer = rtmp ? rtmp_answer_new() : NULL};
        if ((rtmp && !c->answer) || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
            fail("discard_tcp", "epoll");
    }
    return count;
}

static int over(struct connection *c)
{
    rtmp_answer_free(c->answer);
    c->answer = NULL;
    close(c->fd);
    return 1;
}

/* 1 when the connection is over. */
static int answer(struct connection *c, struct arrival *arrival)
{
    size_t media = 0;
    enum rtmp_state state = rtmp_answer_read(c->answer, c->fd, &media);
    if (state == RTMP_OVER)
        return over(c);
    if (state == RTMP_ANSWERING)
        return 0;
    c->received = rtmp_received(c->answer);
    c->window = rtmp_window(c->answer);
    rtmp_answer_free(c->answer);
    c->answer = NULL;
    if (media)
        arrived(arrival, media, now_ns());
    return 0;
}

/* 1 when the connection is over. */
static int drain(int at)
{
    struct connection *c = &connections[at];
    if (c->answer)
        return answer(c, &arrivals[at]);
    ssize_t rc = recv(c->fd, NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (rc == 0 || (rc < 0 && errno != EAGAIN))
        return over(c);
    if (rc < 0)
        return 0;
    arrived(&arrivals[at], (uint64_t)rc, now_ns());
    c->received += (uint64_t)rc;
    if (c->window && c->received - c->acknowledged >= c->window) {
        rtmp_acknowledge(c->fd, c->received);
        c->acknowledged = c->received;
    }
    return 0;
}

static void watch(int epoll, int fd, uint32_t as)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = as};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("discard_tcp", "epoll");
}

int main(int argc, char **argv)
{
    uint16_t port;
    int rtmp = argc > 1 && !strcmp(argv[1], "rtmp");
    int stop = stop_fd(), marks = mark_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = bound_socket("discard_tcp", SOCK_STREAM, &port);
    struct epoll_event ready[MOST_READY];
    if (listen(listener, 4096))
        fail("discard_tcp", "listen");
    watch(epoll, stop, STOP);
    watch(epoll, marks, MARK);
    watch(epoll, listener, LISTENER);
    announce("discard_tcp", &port, 1);
    int count = 0, closed = 0;
    uint64_t deadline = 0;
    char extra[96];
    for (int n; (n = wait_ready(epoll, ready, MOST_READY, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            if (at == STOP)
                deadline = begin_stop(epoll, stop);
            else if (at == LISTENER)
                count = accept_all(listener, epoll, count, rtmp);
            else if (at == MARK) {
                snprintf(extra, sizeof extra, ",\"connections\":%d,\"closed\":%d", count, closed);
                mark(marks, arrivals, sizeof *arrivals, count, extra);
            } else
                closed += drain((int)at);
        }
    snprintf(extra, sizeof extra, ",\"connections\":%d,\"closed\":%d", count, closed);
    summarize("discard_tcp", arrivals, count, extra);
    return 0;
}
