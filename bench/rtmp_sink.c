/*
 * Takes any number of RTMP publishers and throws their media away: what comes behind publish is never copied (MSG_TRUNC).
 *
 * On SIGUSR1 it says {"event":"mark"} with an array for each figure, one member for each connection in the order in which
 * they came: media bytes so far, CLOCK_MONOTONIC of the first one (ns, 0: none yet), and the longest time without any since
 * the mark before (ns), the running silence included.
 */
#define _GNU_SOURCE
#include "discard.h"
#include "rtmp_accept.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CONNECTIONS 16384
#define READ_BYTES (1 << 20)

enum { LISTENER = MOST_CONNECTIONS, STOP, MARK };

static struct arrival arrivals[MOST_CONNECTIONS];
static uint64_t gaps_before_ns[MOST_CONNECTIONS];    /* the longest one before the last mark */
static struct rtmp_peer peers[MOST_CONNECTIONS];
static int fds[MOST_CONNECTIONS], count, closed;

static void watch(int epoll, int fd, uint32_t as)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = as};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("rtmp_sink", "epoll");
}

static void accept_all(int listener, int epoll)
{
    for (int fd; count < MOST_CONNECTIONS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0; count++) {
        watch(epoll, fd, (uint32_t)count);
        fds[count] = fd;
    }
}

static void drain(int at)
{
    if (peers[at].stage < RTMP_MEDIA) {
        if (rtmp_accept(&peers[at], fds[at]) != RTMP_GONE)
            return;
    } else {
        ssize_t rc = recv(fds[at], NULL, READ_BYTES, MSG_TRUNC | MSG_DONTWAIT);
        if (rc > 0)
            arrived(&arrivals[at], (uint64_t)rc, now_ns());
        if (rc > 0 || (rc < 0 && errno == EAGAIN))
            return;
    }
    close(fds[at]);
    closed++;
}

static void say_mark(int fd)
{
    struct signalfd_siginfo asked;
    struct rusage usage;
    uint64_t now = now_ns();
    if (read(fd, &asked, sizeof asked) != sizeof asked)
        return;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"event\":\"mark\",\"at_ns\":%lu,\"cpu_s\":%.3f,\"bytes\":[", now,
           (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
               (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    for (int i = 0; i < count; i++)
        printf("%s%lu", i ? "," : "", arrivals[i].bytes);
    printf("],\"first_ns\":[");
    for (int i = 0; i < count; i++)
        printf("%s%lu", i ? "," : "", arrivals[i].first_ns);
    printf("],\"gap_ns\":[");
    for (int i = 0; i < count; i++) {
        struct arrival *a = &arrivals[i];
        uint64_t silence = a->first_ns ? now - a->last_ns : 0;
        printf("%s%lu", i ? "," : "", silence > a->longest_gap_ns ? silence : a->longest_gap_ns);
        gaps_before_ns[i] = a->longest_gap_ns > gaps_before_ns[i] ? a->longest_gap_ns : gaps_before_ns[i];
        a->longest_gap_ns = 0;
    }
    printf("]}\n");
    fflush(stdout);
}

static int marks_fd(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

int main(void)
{
    uint16_t port;
    int stop = stop_fd(), marks = marks_fd(), epoll = epoll_create1(EPOLL_CLOEXEC), listener = rtmp_listener("rtmp_sink", &port);
    struct epoll_event ready[256];
    watch(epoll, stop, STOP);
    watch(epoll, marks, MARK);
    watch(epoll, listener, LISTENER);
    announce("rtmp_sink", &port, 1);
    uint64_t deadline = 0;
    for (int n; (n = epoll_wait(epoll, ready, 256, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            if (at == STOP)
                deadline = begin_stop(epoll, stop);
            else if (at == MARK)
                say_mark(marks);
            else if (at == LISTENER)
                accept_all(listener, epoll);
            else
                drain((int)at);
        }
    for (int i = 0; i < count; i++)
        arrivals[i].longest_gap_ns =
            gaps_before_ns[i] > arrivals[i].longest_gap_ns ? gaps_before_ns[i] : arrivals[i].longest_gap_ns;
    char extra[96];
    snprintf(extra, sizeof extra, ",\"connections\":%d,\"closed\":%d", count, closed);
    summarize("rtmp_sink", arrivals, count, extra);
    return 0;
}
