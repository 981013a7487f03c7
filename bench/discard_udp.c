/*
 * Discards datagrams: a few sockets, recvmmsg without copying (MSG_TRUNC), senders told apart by their port.
 *
 *   discard_udp [sockets]        default 8: fewer senders share a receive buffer, so a late reader loses nothing
 *   discard_udp deaf             one socket that is never read: the kernel drops, and the sender's figure is free of a reader
 */
#define _GNU_SOURCE
#include "discard.h"

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_SOCKETS 64
#define BATCH 128
#define BUFFER_BYTES (32 << 20)

static struct arrival arrivals[65536];   /* by source port: all senders are on this host */
static uint64_t datagrams, kernel_drops[MOST_SOCKETS];

static void drain(int fd, int at)
{
    static struct mmsghdr messages[BATCH];
    static struct sockaddr_in from[BATCH];
    static union {
        char bytes[CMSG_SPACE(sizeof(uint32_t))];
        struct cmsghdr align;
    } ancillary[BATCH];
    for (int i = 0; i < BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i],
            .msg_control = &ancillary[i], .msg_controllen = sizeof ancillary[i]};
    int n = recvmmsg(fd, messages, BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t drops;
            memcpy(&drops, CMSG_DATA(c), sizeof drops);
            kernel_drops[at] = drops;
        }
        arrived(&arrivals[ntohs(from[i].sin_port)], messages[i].msg_len, now);
        datagrams++;
    }
}

static void serve_deaf(void)
{
    uint16_t port;
    int stop = stop_fd(), fd = bound_socket("discard_udp", SOCK_DGRAM, &port);
    struct pollfd wait = {.fd = stop, .events = POLLIN};
    announce("discard_udp", &port, 1);
    poll(&wait, 1, -1);
    close(fd);
    summarize("discard_udp", arrivals, 0, ",\"deaf\":true");
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "deaf")) {
        serve_deaf();
        return 0;
    }
    int count = argc > 1 ? atoi(argv[1]) : 8, yes = 1;
    if (count < 1 || count > MOST_SOCKETS) {
        fprintf(stderr, "discard_udp: sockets: found '%s', allowed: 1 to %d, or deaf\n", argv[1], MOST_SOCKETS);
        return 2;
    }
    uint16_t ports[MOST_SOCKETS];
    int fds[MOST_SOCKETS], stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MOST_SOCKETS}, ready[MOST_SOCKETS + 1];
    epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event);
    for (int i = 0; i < count; i++) {
        fds[i] = bound_socket("discard_udp", SOCK_DGRAM, &ports[i]);
        set_receive_buffer(fds[i], BUFFER_BYTES);
        setsockopt(fds[i], SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof yes);
        event.data.u32 = (uint32_t)i;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
            fail("discard_udp", "epoll");
    }
    announce("discard_udp", ports, count);
    uint64_t deadline = 0;
    for (int n; (n = epoll_wait(epoll, ready, MOST_SOCKETS + 1, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++)
            if (ready[i].data.u32 == MOST_SOCKETS)
                deadline = begin_stop(epoll, stop);
            else
                drain(fds[ready[i].data.u32], (int)ready[i].data.u32);
    uint64_t drops = 0;
    for (int i = 0; i < count; i++)
        drops += kernel_drops[i];
    char extra[96];
    snprintf(extra, sizeof extra, ",\"datagrams\":%lu,\"lost\":%lu", datagrams, drops);
    summarize("discard_udp", arrivals, 65536, extra);
    return 0;
}
