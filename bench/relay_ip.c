/*
 * The path between two hosts: IP packets from one TUN device to another one in another network namespace, late, out of order,
 * or not at all.
 *
 *   relay_ip DEVICE NAMESPACE DEVICE      a device here and one in that namespace (/proc/PID/ns/net), both new; they end with us
 *
 * What happens to packets is said in lines on stdin, each of five whole numbers, and answered with {"event":"set"} once it is so:
 *
 *   DELAY_US JITTER_US REORDERED_PERMILLE HELD_US CUT
 *
 * Each packet, either way, takes DELAY_US, JITTER_US more or less by chance, and never overtakes another one.  Of a thousand
 * packets REORDERED_PERMILLE are held for HELD_US longer, and are overtaken meanwhile.  With CUT nothing passes, and what was
 * under way is lost.  The end of stdin ends the program.
 */
#define _GNU_SOURCE
#include "discard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM "relay_ip"
#define PACKET_BYTES 2048
#define MOST_UNDER_WAY 16384        /* of one direction: seconds of a stream; beyond it is a fault of the bench, which ends */

struct packet {
    uint64_t due_ns, number;        /* of two that are due together the earlier one goes first */
    ssize_t size;
    char bytes[PACKET_BYTES];
};

struct direction {
    int from, to;
    uint64_t last_due_ns, next_number;
    int under_way;
    struct packet *heap[MOST_UNDER_WAY];
};

static long delay_us, jitter_us, reordered_permille, held_us, cut;
static struct direction there, back;

static int tun_device(const char *name)
{
    struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI};
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &request))
        fail(PROGRAM, name);
    return fd;
}

static int before(const struct packet *a, const struct packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static void put(struct direction *d, struct packet *p)
{
    int at = d->under_way++;
    if (at == MOST_UNDER_WAY) {
        errno = ENOBUFS;
        fail(PROGRAM, "packets under way");
    }
    for (int parent; at && before(p, d->heap[parent = (at - 1) / 2]); at = parent)
        d->heap[at] = d->heap[parent];
    d->heap[at] = p;
}

static struct packet *take(struct direction *d)
{
    struct packet *first = d->heap[0], *last = d->heap[--d->under_way];
    int at = 0;
    for (int child; (child = 2 * at + 1) < d->under_way; at = child) {
        if (child + 1 < d->under_way && before(d->heap[child + 1], d->heap[child]))
            child++;
        if (!before(d->heap[child], last))
            break;
        d->heap[at] = d->heap[child];
    }
    d->heap[at] = last;
    return first;
}

static uint64_t due_ns(struct direction *d, uint64_t now)
{
    uint64_t due = now + (uint64_t)(delay_us - jitter_us + (jitter_us ? random() % (2 * jitter_us + 1) : 0)) * 1000;
    if (reordered_permille && random() % 1000 < reordered_permille)
        return due + (uint64_t)held_us * 1000;
    if (due < d->last_due_ns)
        due = d->last_due_ns;
    d->last_due_ns = due;
    return due;
}

static void receive(struct direction *d)
{
    for (;;) {
        struct packet *p = malloc(sizeof *p);
        if (!p)
            fail(PROGRAM, "malloc");
        p->size = read(d->from, p->bytes, sizeof p->bytes);
        if (p->size <= 0 || cut) {
            int more = p->size > 0;
            free(p);
            if (more)
                continue;
            return;
        }
        p->due_ns = due_ns(d, now_ns());
        p->number = d->next_number++;
        put(d, p);
    }
}

static void deliver(struct direction *d, uint64_t now)
{
    while (d->under_way && d->heap[0]->due_ns <= now) {
        struct packet *p = take(d);
        /* A device that is down takes nothing: then nobody is there to miss it. */
        if (write(d->to, p->bytes, (size_t)p->size) < 0 && errno != EIO && errno != EAGAIN)
            fail(PROGRAM, "write");
        free(p);
    }
}

static void lose_all(struct direction *d)
{
    while (d->under_way)
        free(take(d));
    d->last_due_ns = 0;
}

static void obey(const char *line)
{
    if (sscanf(line, "%ld %ld %ld %ld %ld", &delay_us, &jitter_us, &reordered_permille, &held_us, &cut) != 5 ||
        jitter_us < 0 || delay_us < jitter_us || reordered_permille < 0 || held_us < 0) {
        errno = EINVAL;
        fail(PROGRAM, "a line of stdin");
    }
    if (cut) {
        lose_all(&there);
        lose_all(&back);
    }
    printf("{\"event\":\"set\"}\n");
    fflush(stdout);
}

static struct timespec until_due(uint64_t now)
{
    uint64_t due = now + 1000000000u;
    for (struct direction *d = &there; d; d = d == &there ? &back : NULL)
        if (d->under_way && d->heap[0]->due_ns < due)
            due = d->heap[0]->due_ns;
    uint64_t left = due > now ? due - now : 0;
    return (struct timespec){.tv_sec = (time_t)(left / 1000000000u), .tv_nsec = (long)(left % 1000000000u)};
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: relay_ip DEVICE NAMESPACE DEVICE\n");
        return 2;
    }
    int here = tun_device(argv[1]), namespace = open(argv[2], O_RDONLY | O_CLOEXEC);
    if (namespace < 0 || setns(namespace, CLONE_NEWNET))
        fail(PROGRAM, argv[2]);
    int far = tun_device(argv[3]);
    there = (struct direction){.from = here, .to = far};
    back = (struct direction){.from = far, .to = here};
    printf("{\"event\":\"relaying\"}\n");
    fflush(stdout);
    char line[256];
    struct pollfd ready[] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = here, .events = POLLIN}, {.fd = far, .events = POLLIN}};
    for (;;) {
        struct timespec wait = until_due(now_ns());
        if (ppoll(ready, 3, &wait, NULL) < 0 && errno != EINTR)
            fail(PROGRAM, "poll");
        if (ready[0].revents) {
            ssize_t size = read(STDIN_FILENO, line, sizeof line - 1);
            if (size <= 0)
                return 0;
            line[size] = 0;
            obey(line);
        }
        receive(&there);
        receive(&back);
        uint64_t now = now_ns();
        deliver(&there, now);
        deliver(&back, now);
    }
}
