/* See discard.h. */
#define _GNU_SOURCE
#include "discard.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define STOP_NS 2000000000u

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

noreturn void fail(const char *who, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", who, what, strerror(errno));
    exit(2);
}

int stop_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_PDEATHSIG, SIGTERM);        /* a bench that was killed leaves no receiver behind */
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0)
        fail("discard", "signalfd");
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    return fd;
}

int mark_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        fail("discard", "signalfd");
    return fd;
}

int wait_ready(int epoll, struct epoll_event *ready, int most, int timeout_ms)
{
    struct timespec pause = {.tv_nsec = PAUSE_NS};
    nanosleep(&pause, NULL);
    return epoll_wait(epoll, ready, most, timeout_ms);
}

uint64_t begin_stop(int epoll, int stop)
{
    epoll_ctl(epoll, EPOLL_CTL_DEL, stop, NULL);
    return now_ns() + STOP_NS;
}

int past(uint64_t deadline)
{
    return deadline && now_ns() > deadline;
}

void set_receive_buffer(int fd, int bytes)
{
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes) &&
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes))
        fail("discard", "SO_RCVBUF");
}

int bound_socket(const char *program, int type, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (void *)&at, size) || getsockname(fd, (void *)&at, &size))
        fail(program, "bind");
    *port = ntohs(at.sin_port);
    return fd;
}

void announce(const char *program, const uint16_t *ports, int count)
{
    printf("{\"event\":\"listening\",\"program\":\"%s\",\"ports\":[", program);
    for (int i = 0; i < count; i++)
        printf("%s%u", i ? "," : "", ports[i]);
    printf("]}\n");
    fflush(stdout);
}

void arrived(struct arrival *a, uint64_t bytes, uint64_t now)
{
    if (!a->first_ns)
        a->first_ns = now;
    else {
        uint64_t gap = now - a->last_ns;
        a->longest_gap_ns = gap > a->longest_gap_ns ? gap : a->longest_gap_ns;
        a->mark_gap_ns = gap > a->mark_gap_ns ? gap : a->mark_gap_ns;
    }
    a->last_ns = now;
    a->bytes += bytes;
}

static double cpu_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct arrival *nth(struct arrival *first, size_t stride, int i)
{
    return (struct arrival *)((char *)first + stride * (size_t)i);
}

void mark(int fd, struct arrival *first, size_t stride, int count, const char *extra)
{
    struct signalfd_siginfo asked;
    if (read(fd, &asked, sizeof asked) != sizeof asked)
        return;
    uint64_t now = now_ns();
    printf("{\"event\":\"mark\",\"at_ns\":%lu,\"cpu_s\":%.6f%s,\"bytes\":[", now, cpu_s(), extra);
    for (int i = 0; i < count; i++)
        printf("%s%lu", i ? "," : "", nth(first, stride, i)->bytes);
    printf("],\"first_ns\":[");
    for (int i = 0; i < count; i++)
        printf("%s%lu", i ? "," : "", nth(first, stride, i)->first_ns);
    printf("],\"gap_ns\":[");
    for (int i = 0; i < count; i++) {
        struct arrival *a = nth(first, stride, i);
        uint64_t silent = a->first_ns ? now - a->last_ns : 0;
        printf("%s%lu", i ? "," : "", silent > a->mark_gap_ns ? silent : a->mark_gap_ns);
        a->mark_gap_ns = 0;
    }
    printf("]}\n");
    fflush(stdout);
}

void summarize(const char *program, const struct arrival *arrivals, int count, const char *extra)
{
    uint64_t bytes = 0, least = UINT64_MAX, most = 0, gap = 0;
    double slowest = 0;
    int senders = 0;
    for (int i = 0; i < count; i++) {
        const struct arrival *a = &arrivals[i];
        if (!a->first_ns)
            continue;
        double mbps = a->last_ns > a->first_ns ? (double)a->bytes * 8e3 / (double)(a->last_ns - a->first_ns) : 0;
        slowest = senders++ == 0 || mbps < slowest ? mbps : slowest;
        bytes += a->bytes;
        least = a->bytes < least ? a->bytes : least;
        most = a->bytes > most ? a->bytes : most;
        gap = a->longest_gap_ns > gap ? a->longest_gap_ns : gap;
    }
    printf("{\"event\":\"summary\",\"program\":\"%s\",\"senders\":%d,\"bytes\":%lu,\"least_bytes\":%lu,\"most_bytes\":%lu,"
           "\"slowest_mbps\":%.3f,\"longest_gap_ms\":%.2f,\"cpu_s\":%.3f%s}\n",
           program, senders, bytes, senders ? least : 0, most, slowest, (double)gap / 1e6, cpu_s(), extra);
    fflush(stdout);
}
