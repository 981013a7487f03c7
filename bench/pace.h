/*
 * What every raw loop shares: a trace of committed bytes, a schedule of slots, a measured window.
 *
 * A trace is what a muxer left in its ring: a run of container bytes and, for each frame, the time at which its bytes were there.
 * The loop replays it: time 0 of the trace is the loop's start.  Destinations are spread over the tick in slots of slot_ms, on
 * absolute timerfd deadlines; at its slot a destination is offered everything committed since its last turn, once.
 *
 * File of a trace, little endian: 8 bytes "TRACE01\n", u64 number of marks, marks (u64 at_us, u64 end), then the bytes.
 */
#ifndef PACE_H
#define PACE_H

#define SLOTS 5                  /* of a tick, unless --slot-ms says otherwise */

#include <stddef.h>
#include <stdint.h>
#include <stdnoreturn.h>

struct mark {
    uint64_t at_us;              /* when the frame's bytes were committed, from the start */
    uint64_t end;                /* bytes committed by then, this frame's included */
};

struct trace {
    const uint8_t *bytes;
    const struct mark *marks;
    size_t count;
    size_t next;                 /* first mark that is still to come */
    uint64_t committed;          /* bytes before it */
};

struct destination {
    int fd;                      /* a system socket or an SRTSOCKET */
    uint64_t cursor;             /* next byte of the trace */
    uint64_t last_ns;            /* its last send that took bytes, 0: none yet */
};

struct tally {
    uint64_t sends;              /* calls that took bytes */
    uint64_t bytes;
    uint64_t short_sends;        /* calls that took less than was offered */
    uint64_t refused;            /* ICMP refusals, nothing lost but that send */
    uint64_t longest_gap_ns;     /* between two sends of one destination */
    uint64_t latest_slot_ns;     /* how late a slot was served, at worst */
};

struct run {
    const char *program;
    struct trace trace;
    struct destination *destinations;
    int count;                   /* destinations */
    int tick_ms;
    int slot_ms;
    double warm_s;               /* before the measured window */
    double window_s;
    uint32_t datagram;           /* bytes that must stay together, 1 for a byte stream */
    struct tally window;
    struct tally whole;          /* warm-up and window */
};

/*
 * Offers [data, data + size) to a destination; returns the bytes taken, 0 when it takes nothing now.  *calls is raised by the
 * number of system or library calls that took bytes.
 */
typedef size_t (*take_t)(struct run *run, int fd, const uint8_t *data, size_t size, uint64_t *calls);

uint64_t now_ns(void);
noreturn void fail(const char *who, const char *what);

/* --trace F --host H --ports P,P,.. --destinations N --tick-ms T --slot-ms S --warm-s W --window-s S, and names of the program's own. */
struct option_value {
    const char *name;
    const char *value;           /* default, replaced by the argument */
};
void parse_options(const char *program, int argc, char **argv, struct option_value *options);
const char *option(const struct option_value *options, const char *name);
long option_number(const char *program, const struct option_value *options, const char *name, long low, long high);

void run_prepare(struct run *run, const struct option_value *options);
/* The port of destination i: the ports of --ports in turn. */
uint16_t run_port(const char *program, const struct option_value *options, int i);
void run_slots(struct run *run, take_t take);
/* Prints the report as one line of JSON; extra is "" or more members, each with a leading comma. */
void run_report(const struct run *run, const char *extra);
void raise_descriptor_limit(void);

#endif
