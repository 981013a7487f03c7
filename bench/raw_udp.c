/*
 * The floor of MPEG-TS over UDP: N connected sockets, one GSO send of whole 1316-byte datagrams per destination and tick.
 * Nothing else is done that a sender must not do: no ring, no statistics, no fall-back.
 */
#define _GNU_SOURCE
#include "pace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/socket.h>

#define DATAGRAM 1316
#define MOST_SEGMENTS 49         /* 49 * 1316 is the last multiple below UDP's 65507 bytes */

static size_t take(struct run *run, int fd, const uint8_t *data, size_t size, uint64_t *calls)
{
    size_t taken = 0;
    while (taken < size) {
        size_t part = size - taken < MOST_SEGMENTS * DATAGRAM ? size - taken : MOST_SEGMENTS * DATAGRAM;
        ssize_t rc = send(fd, data + taken, part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (rc < 0 && errno == ECONNREFUSED) {
            run->window.refused++;
            continue;
        }
        if (rc < 0 && (errno == EAGAIN || errno == ENOBUFS))
            break;
        if (rc < 0)
            fail("raw_udp", "send");
        ++*calls;
        taken += (size_t)rc;
    }
    return taken;
}

int main(int argc, char **argv)
{
    struct option_value options[] = {{"trace", ""}, {"host", "127.0.0.1"}, {"ports", ""}, {"destinations", "100"},
        {"tick-ms", "20"}, {"slot-ms", "0"}, {"warm-s", "1"}, {"window-s", "5"}, {"send-buffer", "0"}, {NULL, NULL}};
    struct run run = {.program = "raw_udp", .datagram = DATAGRAM};
    parse_options("raw_udp", argc, argv, options);
    run_prepare(&run, options);
    int buffer = (int)option_number("raw_udp", options, "send-buffer", 0, 1 << 30), segment = DATAGRAM;
    for (int i = 0; i < run.count; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(run_port("raw_udp", options, i))};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (inet_pton(AF_INET, option(options, "host"), &to.sin_addr) != 1 || fd < 0 || connect(fd, (void *)&to, sizeof to))
            fail("raw_udp", "connect");
        if (setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment))
            fail("raw_udp", "UDP_SEGMENT");
        if (buffer && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer))
            fail("raw_udp", "SO_SNDBUF");
        run.destinations[i].fd = fd;
    }
    run_slots(&run, take);
    run_report(&run, "");
    return 0;
}
