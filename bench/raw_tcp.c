/*
 * The floor of RTMP (and MPEG-TS over TCP): N connected sockets, one non-blocking contiguous send per destination and tick.
 * The trace holds chunks as they lie in a ring; handshakes and commands are no part of it.  With --first-fd the sockets are
 * there already, on descriptors in a row (raw_rtmp.py).
 */
#define _GNU_SOURCE
#include "pace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>

static size_t take(struct run *run, int fd, const uint8_t *data, size_t size, uint64_t *calls)
{
    (void)run;
    ssize_t rc = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (rc < 0 && errno == EAGAIN)
        return 0;
    if (rc < 0)
        fail("raw_tcp", "send");
    ++*calls;
    return (size_t)rc;
}

int main(int argc, char **argv)
{
    struct option_value options[] = {{"trace", ""}, {"host", "127.0.0.1"}, {"ports", ""}, {"first-fd", "0"}, {"destinations", "100"},
        {"tick-ms", "40"}, {"slot-ms", "0"}, {"warm-s", "1"}, {"window-s", "5"}, {"send-buffer", "0"}, {NULL, NULL}};
    struct run run = {.program = "raw_tcp", .datagram = 1};
    parse_options("raw_tcp", argc, argv, options);
    run_prepare(&run, options);
    int buffer = (int)option_number("raw_tcp", options, "send-buffer", 0, 1 << 30), yes = 1;
    int first = (int)option_number("raw_tcp", options, "first-fd", 0, 1 << 20);
    for (int i = 0; i < run.count && first; i++)
        run.destinations[i].fd = first + i;
    for (int i = 0; i < run.count && !first; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(run_port("raw_tcp", options, i))};
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || (buffer && setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer)))
            fail("raw_tcp", "SO_SNDBUF");
        if (inet_pton(AF_INET, option(options, "host"), &to.sin_addr) != 1 || connect(fd, (void *)&to, sizeof to))
            fail("raw_tcp", "connect");
        if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes))
            fail("raw_tcp", "TCP_NODELAY");
        run.destinations[i].fd = fd;
    }
    run_slots(&run, take);
    run_report(&run, "");
    return 0;
}
