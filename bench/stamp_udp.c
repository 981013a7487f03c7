/*
 * Receives MPEG-TS over UDP and notes when the stamps in it arrived: the time of the recvmmsg that brought each.
 *
 *   stamp_udp FILE               written at the end, see stamps.h; a destination is a sender's port: all senders are on this host
 */
#define _GNU_SOURCE
#include "discard.h"
#include "stamps.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define SOCKETS 8                /* fewer senders share a receive buffer, so a late reader loses nothing */
#define BATCH 64
#define DATAGRAM_BYTES 1500
#define BUFFER_BYTES (32 << 20)

static struct arrival arrivals[65536];
static uint64_t datagrams, kernel_drops[SOCKETS];

static void search(int fd, int at)
{
    static uint8_t bytes[BATCH][DATAGRAM_BYTES];
    static struct mmsghdr messages[BATCH];
    static struct sockaddr_in from[BATCH];
    static struct iovec iov[BATCH];
    static union {
        char bytes[CMSG_SPACE(sizeof(uint32_t))];
        struct cmsghdr align;
    } ancillary[BATCH];
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], DATAGRAM_BYTES};
        messages[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i],
            .msg_iovlen = 1, .msg_control = &ancillary[i], .msg_controllen = sizeof ancillary[i]};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr);
        if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            uint32_t drops;
            memcpy(&drops, CMSG_DATA(c), sizeof drops);
            kernel_drops[at] = drops;
        }
        uint16_t sender = ntohs(from[i].sin_port);
        stamps_find_ts(bytes[i], messages[i].msg_len, sender, now);
        arrived(&arrivals[sender], messages[i].msg_len, now);
        datagrams++;
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "stamp_udp: expected the path of a file for the stamps\n");
        return 2;
    }
    uint16_t ports[SOCKETS];
    int fds[SOCKETS], yes = 1, stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = SOCKETS}, ready[SOCKETS + 1];
    epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event);
    for (int i = 0; i < SOCKETS; i++) {
        fds[i] = bound_socket("stamp_udp", SOCK_DGRAM, &ports[i]);
        set_receive_buffer(fds[i], BUFFER_BYTES);
        setsockopt(fds[i], SOL_SOCKET, SO_RXQ_OVFL, &yes, sizeof yes);
        event.data.u32 = (uint32_t)i;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
            fail("stamp_udp", "epoll");
    }
    announce("stamp_udp", ports, SOCKETS);
    uint64_t deadline = 0;
    for (int n; (n = epoll_wait(epoll, ready, SOCKETS + 1, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++)
            if (ready[i].data.u32 == SOCKETS)
                deadline = begin_stop(epoll, stop);
            else
                search(fds[ready[i].data.u32], (int)ready[i].data.u32);
    uint64_t drops = 0;
    for (int i = 0; i < SOCKETS; i++)
        drops += kernel_drops[i];
    char extra[96];
    snprintf(extra, sizeof extra, ",\"datagrams\":%lu,\"lost\":%lu", datagrams, drops);
    stamps_write("stamp_udp", argv[1]);
    summarize("stamp_udp", arrivals, 65536, extra);
    return 0;
}
