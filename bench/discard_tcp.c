/* Discards byte streams: accepts any number of connections, lets the kernel throw the bytes away (MSG_TRUNC, nothing is copied). */
#define _GNU_SOURCE
#include "discard.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 20000
#define READ_BYTES (1 << 20)
#define LISTENER (MOST_CONNECTIONS)
#define STOP (MOST_CONNECTIONS + 1)

static struct arrival arrivals[MOST_CONNECTIONS];
static int fds[MOST_CONNECTIONS];

static int accept_all(int listener, int epoll, int count)
{
    while (count < MOST_CONNECTIONS) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            break;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)count};
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
            fail("discard_tcp", "epoll");
        fds[count++] = fd;
    }
    return count;
}

/* 1 when the connection is over. */
static int drain(int at)
{
    ssize_t rc = recv(fds[at], NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
    if (rc > 0)
        arrived(&arrivals[at], (uint64_t)rc, now_ns());
    if (rc > 0 || (rc < 0 && errno == EAGAIN))
        return 0;
    close(fds[at]);
    return 1;
}

int main(void)
{
    uint16_t port;
    int stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC), listener = bound_socket("discard_tcp", SOCK_STREAM, &port);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = STOP}, ready[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event);
    event.data.u32 = LISTENER;
    if (listen(listener, 4096) || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
        fail("discard_tcp", "listen");
    announce("discard_tcp", &port, 1);
    int count = 0, closed = 0;
    uint64_t deadline = 0;
    for (int n; (n = epoll_wait(epoll, ready, 256, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            if (at == STOP)
                deadline = begin_stop(epoll, stop);
            else if (at == LISTENER)
                count = accept_all(listener, epoll, count);
            else
                closed += drain((int)at);
        }
    char extra[96];
    snprintf(extra, sizeof extra, ",\"connections\":%d,\"closed\":%d", count, closed);
    summarize("discard_tcp", arrivals, count, extra);
    return 0;
}
