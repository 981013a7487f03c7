/*
 * What the discarding receivers share: one line of JSON when they listen, a stop on SIGTERM or SIGINT, one line at the end.
 *
 * They count and throw away, as cheaply as the kernel allows, so that the receiver takes as little as possible of the cores that
 * the sender under measurement needs.  They check nothing inside the bytes: `pushcast sink` does that.
 */
#ifndef DISCARD_H
#define DISCARD_H

#include <stdint.h>
#include <stdnoreturn.h>

struct arrival {
    uint64_t bytes;
    uint64_t first_ns, last_ns;
    uint64_t longest_gap_ns;     /* between two arrivals; a silence at the end is no gap */
};

uint64_t now_ns(void);
noreturn void fail(const char *who, const char *what);
/* A descriptor that becomes readable on SIGTERM and SIGINT, and when the parent process is gone. */
int stop_fd(void);
/* After a stop what has arrived is still read: until nothing comes for QUIET_MS, or until the deadline (ns) that this returns. */
#define QUIET_MS 50
uint64_t begin_stop(int epoll, int stop);
int past(uint64_t deadline);     /* 0 while there is no deadline */
/* The largest receive buffer that the kernel gives, up to bytes. */
void set_receive_buffer(int fd, int bytes);
/* A bound IPv4 socket on a free port of the loopback device; *port receives the number. */
int bound_socket(const char *program, int type, uint16_t *port);
void announce(const char *program, const uint16_t *ports, int count);
void arrived(struct arrival *a, uint64_t bytes, uint64_t now);
/* Prints the summary over the senders that sent anything; extra is "" or more members, each with a leading comma. */
void summarize(const char *program, const struct arrival *arrivals, int count, const char *extra);

#endif
