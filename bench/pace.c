/* See pace.h.  CPU time is that of the whole process, all threads, from getrusage at the edges of the window. */
#define _GNU_SOURCE
#include "pace.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define TRACE_MAGIC "TRACE01\n"
#define TRACE_HEAD 16

static struct rusage at_open, at_close;
static uint64_t open_ns, close_ns;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

noreturn void fail(const char *who, const char *what)
{
    if (errno)
        fprintf(stderr, "%s: %s: %s\n", who, what, strerror(errno));
    else
        fprintf(stderr, "%s: %s\n", who, what);
    exit(2);
}

void parse_options(const char *program, int argc, char **argv, struct option_value *options)
{
    for (int i = 1; i < argc; i += 2) {
        struct option_value *o = options;
        while (o->name && (strncmp(argv[i], "--", 2) || strcmp(o->name, argv[i] + 2)))
            o++;
        errno = 0;
        if (!o->name || i + 1 == argc) {
            fprintf(stderr, "%s: found '%s', allowed:", program, argv[i]);
            for (o = options; o->name; o++)
                fprintf(stderr, " --%s <value>", o->name);
            fprintf(stderr, "\n");
            exit(2);
        }
        o->value = argv[i + 1];
    }
}

const char *option(const struct option_value *options, const char *name)
{
    while (strcmp(options->name, name))
        options++;
    return options->value;
}

long option_number(const char *program, const struct option_value *options, const char *name, long low, long high)
{
    const char *text = option(options, name);
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (errno || end == text || *end || value < low || value > high) {
        fprintf(stderr, "%s: --%s: found '%s', allowed: %ld to %ld\n", program, name, text, low, high);
        exit(2);
    }
    return value;
}

static void trace_open(struct trace *trace, const char *program, const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st))
        fail(program, path);
    errno = 0;
    if (st.st_size < TRACE_HEAD)
        fail(program, "a trace is at least 16 bytes");
    const uint8_t *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    if (file == MAP_FAILED)
        fail(program, path);
    close(fd);
    uint64_t count, left = (uint64_t)st.st_size - TRACE_HEAD;
    memcpy(&count, file + 8, 8);
    errno = 0;
    if (memcmp(file, TRACE_MAGIC, 8) || count == 0 || count > left / sizeof(struct mark))
        fail(program, "not a trace");
    trace->marks = (const struct mark *)(file + TRACE_HEAD);
    trace->count = count;
    trace->bytes = file + TRACE_HEAD + count * sizeof(struct mark);
    if (trace->marks[count - 1].end != left - count * sizeof(struct mark))
        fail(program, "the trace's last mark is not its end");
    for (size_t i = 1; i < count; i++)
        if (trace->marks[i].end < trace->marks[i - 1].end || trace->marks[i].at_us < trace->marks[i - 1].at_us)
            fail(program, "the trace's marks go back");
    trace->next = 0;
    trace->committed = 0;
}

static uint64_t trace_committed(struct trace *trace, uint64_t now_us)
{
    while (trace->next < trace->count && trace->marks[trace->next].at_us <= now_us)
        trace->committed = trace->marks[trace->next++].end;
    return trace->committed;
}

void run_prepare(struct run *run, const struct option_value *options)
{
    trace_open(&run->trace, run->program, option(options, "trace"));
    run->count = (int)option_number(run->program, options, "destinations", 1, 20000);
    run->tick_ms = (int)option_number(run->program, options, "tick-ms", 1, 1000);
    run->slot_ms = (int)option_number(run->program, options, "slot-ms", 0, run->tick_ms);
    if (!run->slot_ms)               /* as the engine: a wake-up costs as much as eight sends, so there are few of them */
        run->slot_ms = run->tick_ms > SLOTS ? run->tick_ms / SLOTS : 1;
    run->warm_s = strtod(option(options, "warm-s"), NULL);
    run->window_s = strtod(option(options, "window-s"), NULL);
    errno = 0;
    if (run->tick_ms % run->slot_ms)
        fail(run->program, "--tick-ms must be a multiple of --slot-ms");
    double trace_s = (double)run->trace.marks[run->trace.count - 1].at_us / 1e6;
    if (run->window_s <= 0 || run->warm_s < 0 || run->warm_s + run->window_s > trace_s + 0.1)
        fail(run->program, "the trace must last for --warm-s and --window-s");
    run->destinations = calloc((size_t)run->count, sizeof *run->destinations);
    if (!run->destinations)
        fail(run->program, "destinations");
    raise_descriptor_limit();
}

uint16_t run_port(const char *program, const struct option_value *options, int i)
{
    const char *text = option(options, "ports");
    int count = 1;
    for (const char *p = text; *p; p++)
        count += *p == ',';
    for (i %= count; i > 0; i--)
        text = strchr(text, ',') + 1;
    long port = strtol(text, NULL, 10);
    errno = 0;
    if (port < 1 || port > 65535)
        fail(program, "--ports: allowed: numbers from 1 to 65535 with commas between");
    return (uint16_t)port;
}

void raise_descriptor_limit(void)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void serve(struct run *run, struct destination *d, struct tally *tally, take_t take)
{
    uint64_t size = run->trace.committed - d->cursor;
    size -= size % run->datagram;
    if (!size)
        return;
    size_t taken = take(run, d->fd, run->trace.bytes + d->cursor, size, &tally->sends);
    if (taken < size)
        tally->short_sends++;
    if (!taken)
        return;
    uint64_t now = now_ns();
    if (d->last_ns && now - d->last_ns > tally->longest_gap_ns)
        tally->longest_gap_ns = now - d->last_ns;
    d->last_ns = now;
    d->cursor += taken;
    tally->bytes += taken;
}

static void add(struct tally *sum, const struct tally *part)
{
    sum->sends += part->sends;
    sum->bytes += part->bytes;
    sum->short_sends += part->short_sends;
    sum->refused += part->refused;
}

void run_slots(struct run *run, take_t take)
{
    uint64_t slot_ns = (uint64_t)run->slot_ms * 1000000u;
    uint64_t per_tick = (uint64_t)(run->tick_ms / run->slot_ms);
    uint64_t ticks = (uint64_t)(run->window_s * 1000 / run->tick_ms), warm = (uint64_t)(run->warm_s * 1000 / run->tick_ms);
    uint64_t first = warm * per_tick, last = (warm + ticks) * per_tick;
    struct tally before = {0};
    struct itimerspec spec = {.it_interval.tv_nsec = (long)slot_ns};
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint64_t start = now_ns();
    spec.it_value.tv_sec = (time_t)((start + slot_ns) / 1000000000u);
    spec.it_value.tv_nsec = (long)((start + slot_ns) % 1000000000u);
    if (timer < 0 || timerfd_settime(timer, TFD_TIMER_ABSTIME, &spec, NULL))
        fail(run->program, "timerfd");
    for (uint64_t slot = 0, due = 0; slot < last; slot++) {
        uint64_t expired;
        while (slot >= due) {
            if (read(timer, &expired, 8) != 8)
                fail(run->program, "timerfd");
            due += expired;
        }
        struct tally *tally = slot < first ? &before : &run->window;
        uint64_t now = now_ns();
        if (slot == first) {
            getrusage(RUSAGE_SELF, &at_open);
            open_ns = now;
        }
        uint64_t late = now - start - (slot + 1) * slot_ns;
        if (late > tally->latest_slot_ns)
            tally->latest_slot_ns = late;
        trace_committed(&run->trace, (now - start) / 1000);
        for (uint64_t i = slot % per_tick; i < (uint64_t)run->count; i += per_tick)
            serve(run, &run->destinations[i], tally, take);
    }
    getrusage(RUSAGE_SELF, &at_close);
    close_ns = now_ns();
    close(timer);
    run->whole = run->window;
    add(&run->whole, &before);
}

static double seconds(struct timeval later, struct timeval earlier)
{
    return (double)(later.tv_sec - earlier.tv_sec) + (double)(later.tv_usec - earlier.tv_usec) / 1e6;
}

void run_report(const struct run *run, const char *extra)
{
    double user = seconds(at_close.ru_utime, at_open.ru_utime), system = seconds(at_close.ru_stime, at_open.ru_stime);
    double ticks = (double)(uint64_t)(run->window_s * 1000 / run->tick_ms) * run->count, cpu_us = (user + system) * 1e6;
    const struct tally *w = &run->window;
    printf("{\"program\":\"%s\",\"destinations\":%d,\"tick_ms\":%d,\"slot_ms\":%d,\"window_s\":%.3f,"
           "\"cpu_s\":%.4f,\"user_s\":%.4f,\"system_s\":%.4f,\"context_switches\":%ld,"
           "\"sends\":%lu,\"bytes\":%lu,\"dest_ticks\":%.0f,\"us_per_dest_tick\":%.3f,\"us_per_send\":%.3f,"
           "\"us_per_datagram\":%.3f,\"longest_gap_ms\":%.2f,\"latest_slot_ms\":%.2f,"
           "\"short_sends\":%lu,\"refused\":%lu,\"total_bytes\":%lu%s}\n",
           run->program, run->count, run->tick_ms, run->slot_ms, (double)(close_ns - open_ns) / 1e9,
           user + system, user, system,
           at_close.ru_nvcsw + at_close.ru_nivcsw - at_open.ru_nvcsw - at_open.ru_nivcsw,
           w->sends, w->bytes, ticks, cpu_us / ticks, w->sends ? cpu_us / (double)w->sends : 0.0,
           run->datagram > 1 && w->bytes ? cpu_us / ((double)w->bytes / run->datagram) : 0.0,
           (double)w->longest_gap_ns / 1e6, (double)w->latest_slot_ns / 1e6,
           w->short_sends, run->whole.refused, run->whole.bytes, extra);
    fflush(stdout);
}
