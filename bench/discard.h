/*
 * What the discarding receivers share: one line of JSON when they listen, a stop on SIGTERM or SIGINT, one line at the end.
 *
 * They count and throw away, as cheaply as the kernel allows, so that the receiver takes as little as possible of the cores that
 * the sender under measurement needs.  They check nothing inside the bytes: `pushcast sink` does that.
 */
#ifndef DISCARD_H
#define DISCARD_H

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>
#include <sys/epoll.h>

struct arrival {
    uint64_t bytes;
    uint64_t first_ns, last_ns;
    uint64_t longest_gap_ns;     /* between two arrivals; a silence at the end is no gap */
    uint64_t mark_gap_ns;        /* the same since the last mark */
};

uint64_t now_ns(void);
noreturn void fail(const char *who, const char *what);
/* A descriptor that becomes readable on SIGTERM and SIGINT, and when the parent process is gone. */
int stop_fd(void);
/* A descriptor that becomes readable on SIGUSR1, which asks for a mark. */
int mark_fd(void);
/* After a stop what has arrived is still read: until nothing comes for QUIET_MS, or until the deadline (ns) that this returns. */
#define QUIET_MS 50
uint64_t begin_stop(int epoll, int stop);
int past(uint64_t deadline);     /* 0 while there is no deadline */
/* The largest receive buffer that the kernel gives, up to bytes. */
void set_receive_buffer(int fd, int bytes);
/* A bound IPv4 socket on a free port of the loopback device; *port receives the number. */
int bound_socket(const char *program, int type, uint16_t *port);
/* epoll_wait, at most once in PAUSE_NS: a sender pays for waking a receiver that sleeps, and real receivers are elsewhere. */
#define PAUSE_NS 1000000
int wait_ready(int epoll, struct epoll_event *ready, int most, int timeout_ms);
void announce(const char *program, const uint16_t *ports, int count);
void arrived(struct arrival *a, uint64_t bytes, uint64_t now);
/*
 * Prints where every destination stands, each stride bytes behind the one before, and begins a new stretch for the gaps: a silence
 * that lasts until the mark counts.  first_ns is 0 where nothing came yet.  Times are CLOCK_MONOTONIC.
 */
void mark(int fd, struct arrival *first, size_t stride, int count, const char *extra);
/* Prints the summary over the senders that sent anything; extra is "" or more members, each with a leading comma. */
void summarize(const char *program, const struct arrival *arrivals, int count, const char *extra);

#endif
