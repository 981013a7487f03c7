/*
 * Takes RTMP publishers and notes when the stamps in their streams arrived: the time of the recv that completed each.
 *
 *   stamp_rtmp FILE              written at the end, see stamps.h; a destination is a connection, in the order of their coming
 */
#define _GNU_SOURCE
#include "discard.h"
#include "rtmp_answer.h"
#include "stamps.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 4096
#define BACKLOG 4096
#define READ_BYTES (1 << 18)
#define REST_BYTES (STAMP_BYTES - 1)     /* what may be the beginning of a stamp that the next read completes */

enum { LISTENER = MOST_CONNECTIONS, STOP };

struct connection {
    struct rtmp_answer *answer;              /* until publish is answered: media comes after that */
    int fd;
    size_t rest_bytes;
    uint8_t rest[REST_BYTES];
};

static struct connection connections[MOST_CONNECTIONS];
static struct arrival arrivals[MOST_CONNECTIONS];
static int count;

static void watch(int epoll, int fd, uint32_t as)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = as};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("stamp_rtmp", "epoll");
}

static void accept_all(int listener, int epoll)
{
    for (int fd; count < MOST_CONNECTIONS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; count++) {
        watch(epoll, fd, (uint32_t)count);
        connections[count] = (struct connection){.fd = fd, .answer = rtmp_answer_new()};
        if (!connections[count].answer)
            fail("stamp_rtmp", "malloc");
    }
}

/* Reads what is said before the media; 0 when the connection is over. */
static int answer(struct connection *c)
{
    size_t media;
    enum rtmp_state state = rtmp_answer_read(c->answer, c->fd, &media);
    if (state == RTMP_ANSWERING)
        return 1;
    rtmp_answer_free(c->answer);
    c->answer = NULL;
    return state == RTMP_PUBLISHED;
}

/* Reads media once; 0 when the connection is over. */
static int search(struct connection *c, int at)
{
    static uint8_t buffer[REST_BYTES + READ_BYTES];
    uint8_t *fresh = buffer + REST_BYTES;
    ssize_t rc = recv(c->fd, fresh, READ_BYTES, MSG_DONTWAIT);
    if (rc <= 0)
        return rc < 0 && errno == EAGAIN;
    uint64_t now = now_ns();
    memcpy(fresh - c->rest_bytes, c->rest, c->rest_bytes);
    size_t size = c->rest_bytes + (size_t)rc;
    stamps_find(fresh - c->rest_bytes, size, (uint32_t)at, now);
    c->rest_bytes = size < REST_BYTES ? size : REST_BYTES;
    memcpy(c->rest, fresh + rc - c->rest_bytes, c->rest_bytes);
    arrived(&arrivals[at], (uint64_t)rc, now);
    return 1;
}

static void drain(int at)
{
    struct connection *c = &connections[at];
    if (!(c->answer ? answer(c) : search(c, at)))
        close(c->fd);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "stamp_rtmp: expected the path of a file for the stamps\n");
        return 2;
    }
    uint16_t port;
    int stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC), listener = bound_socket("stamp_rtmp", SOCK_STREAM, &port);
    struct epoll_event ready[256];
    if (listen(listener, BACKLOG))
        fail("stamp_rtmp", "listen");
    watch(epoll, stop, STOP);
    watch(epoll, listener, LISTENER);
    announce("stamp_rtmp", &port, 1);
    uint64_t deadline = 0;
    for (int n; (n = epoll_wait(epoll, ready, 256, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            if (at == STOP)
                deadline = begin_stop(epoll, stop);
            else if (at == LISTENER)
                accept_all(listener, epoll);
            else
                drain((int)at);
        }
    stamps_write("stamp_rtmp", argv[1]);
    summarize("stamp_rtmp", arrivals, count, "");
    return 0;
}
