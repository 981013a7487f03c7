/*
 * The floor of muxing: what copying the same frames costs when nothing is decided.
 *
 *   floor_mux FRAMES LAPS        FRAMES: a trace whose marks end access units
 *
 * TS: for each packet 4 header bytes and a copy of at most 184, into an arena of the ring's size.  RTMP: for each frame a header of
 * 8 bytes and one copy, a byte more for each 64 KiB chunk.  Prints the medians over laps as JSON.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define ARENA_BYTES (2u << 20)   /* what a ring that keeps 4 s of 2.5 Mbit/s grows to */
#define CHUNK_BYTES 65536u
#define MOST_LAPS 1000

struct mark {
    uint64_t at_us, end;
};

static uint8_t *arena;
static size_t at;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint8_t *room(size_t size)
{
    if (at + size > ARENA_BYTES)
        at = 0;
    at += size;
    return arena + at - size;
}

static uint64_t put_packets(const uint8_t *data, size_t size)
{
    uint64_t packets = (size + 183) / 184, full = size / 184;
    uint8_t *p = room(packets * 188);
    for (uint64_t i = 0; i < packets; i++, p += 188, data += 184) {
        uint32_t header = 0x10010047u | (uint32_t)(i & 15) << 24;
        memcpy(p, &header, 4);
        if (i < full)
            memcpy(p + 4, data, 184);    /* a size that the compiler knows: no call */
        else
            memcpy(p + 4, data, size % 184);
    }
    return packets;
}

static void put_message(const uint8_t *data, size_t size)
{
    uint8_t *p = room(size + 8 + size / CHUNK_BYTES);
    uint64_t header = size;
    memcpy(p, &header, 8);
    p += 8;
    for (; size > CHUNK_BYTES; size -= CHUNK_BYTES, data += CHUNK_BYTES) {
        memcpy(p, data, CHUNK_BYTES);
        p[CHUNK_BYTES] = 0xc6;
        p += CHUNK_BYTES + 1;
    }
    memcpy(p, data, size);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, int count)
{
    qsort(values, (size_t)count, sizeof *values, ascending);
    return values[count / 2];
}

int main(int argc, char **argv)
{
    struct stat st;
    int laps = argc == 3 ? atoi(argv[2]) : 0, fd = argc == 3 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
    if (laps < 1 || laps > MOST_LAPS || fd < 0 || fstat(fd, &st) || st.st_size < 32) {
        fprintf(stderr, "usage: floor_mux FRAMES LAPS (1 to %d)\n", MOST_LAPS);
        return 2;
    }
    const uint8_t *file = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
    uint64_t count, packets = 0;
    memcpy(&count, file + 8, 8);
    if (memcmp(file, "TRACE01\n", 8) || count > ((uint64_t)st.st_size - 16) / sizeof(struct mark)) {
        fprintf(stderr, "floor_mux: %s is no trace\n", argv[1]);
        return 2;
    }
    const struct mark *marks = (const struct mark *)(file + 16);
    const uint8_t *bytes = file + 16 + count * sizeof *marks;
    static double packet_ns[MOST_LAPS], message_ns[MOST_LAPS];
    arena = malloc(ARENA_BYTES);
    memset(arena, 1, ARENA_BYTES);
    for (int lap = 0; lap < laps; lap++) {
        uint64_t start = now_ns(), begin = 0;
        packets = 0;
        for (uint64_t i = 0; i < count; begin = marks[i++].end)
            packets += put_packets(bytes + begin, marks[i].end - begin);
        uint64_t middle = now_ns();
        begin = 0;
        for (uint64_t i = 0; i < count; begin = marks[i++].end)
            put_message(bytes + begin, marks[i].end - begin);
        packet_ns[lap] = (double)(middle - start) / (double)packets;
        message_ns[lap] = (double)(now_ns() - middle) / (double)count;
    }
    printf("{\"program\":\"floor_mux\",\"laps\":%d,\"packets\":%lu,\"messages\":%lu,\"ns_per_packet\":%.2f,\"ns_per_message\":%.1f}\n",
           laps, packets, count, median(packet_ns, laps), median(message_ns, laps));
    return 0;
}
