/* See stamps.h. */
#define _GNU_SOURCE
#include "stamps.h"

#include "discard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 16
#define PACKET_BYTES 188
#define PAYLOAD_UNIT_START 0x40

struct stamp {
    uint64_t sent_ns, arrived_ns;
    uint32_t destination, unused;
};

/* A random UUID without a zero byte, so that no emulation prevention byte ever gets between. */
static const uint8_t name[NAME_BYTES] = {0x9b, 0x1f, 0x6c, 0xe2, 0x57, 0xd8, 0x4a, 0x3e, 0xb6, 0x41, 0xc5, 0x72, 0x8e, 0x2d, 0x93, 0xf7};

static struct stamp *stamps;
static size_t count, room;

static void keep(const uint8_t *digits, uint32_t destination, uint64_t arrived_ns)
{
    char text[STAMP_BYTES - NAME_BYTES + 1] = {0};
    char *end;
    memcpy(text, digits, sizeof text - 1);
    uint64_t sent_ns = strtoull(text, &end, 16);
    if (*end)
        return;
    if (count == room) {
        room = room ? 2 * room : 65536;
        if (!(stamps = realloc(stamps, room * sizeof *stamps)))
            fail("stamps", "realloc");
    }
    stamps[count++] = (struct stamp){sent_ns, arrived_ns, destination, 0};
}

void stamps_find(const uint8_t *bytes, size_t size, uint32_t destination, uint64_t arrived_ns)
{
    const uint8_t *end = bytes + size;
    while (bytes + STAMP_BYTES <= end) {
        const uint8_t *found = memmem(bytes, (size_t)(end - bytes) - (STAMP_BYTES - NAME_BYTES), name, NAME_BYTES);
        if (!found)
            return;
        keep(found + NAME_BYTES, destination, arrived_ns);
        bytes = found + STAMP_BYTES;
    }
}

void stamps_find_ts(const uint8_t *packets, size_t size, uint32_t destination, uint64_t arrived_ns)
{
    for (; size >= PACKET_BYTES; packets += PACKET_BYTES, size -= PACKET_BYTES)
        if (packets[1] & PAYLOAD_UNIT_START)
            stamps_find(packets, PACKET_BYTES, destination, arrived_ns);
}

void stamps_write(const char *program, const char *path)
{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(stamps, sizeof *stamps, count, file) != count || fclose(file))
        fail(program, path);
}
