"""Hundreds of RTMP publishers in one process that costs little: the clip's messages are framed once and sent to all.

Time goes in slots of 4 ms; in each a publisher's messages that are due leave in one send, as an encoder sends each
frame by itself.  Publishers begin one slot after the other, so that neither their frames nor their keyframes fall
together.  After the first lap every message is fmt 1, whose times are relative, so laps are byte for byte the same.

    python -m bench.many_publishers --port P --count N [--first K] [--kbit-per-s B]      streams s-K to s-(K+N-1)

Says {"event":"publishing"} when all have begun; ends on SIGTERM with {"event":"summary"}: how late a slot was at worst,
and the longest time that a send took.
"""

from __future__ import annotations

import argparse
import json
import signal
import time

from bench.clip import Clip, clip_path, read_clip
from bench.publisher import CSID_AUDIO, CSID_VIDEO, HEADER_BYTES, Publishing, beginning, message, publish
from pushcast.media import Kind

SLOT_MS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kbit-per-s", type=int, default=1000, help="of the video; the audio has 128")
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    clip = read_clip(clip_path(options.kbit_per_s))
    publishers = [publish(options.port, "app", f"s-{options.first + number}") for number in range(options.count)]
    late_ns, slow_ns = _play(clip, publishers, stopping)
    print(json.dumps({"event": "summary", "late_max_ms": late_ns / 1e6, "send_max_ms": slow_ns / 1e6}), flush=True)


def _play(clip: Clip, publishers: list[Publishing], stopping: list[int]) -> tuple[int, int]:
    """Publish until stopped; (latest slot, longest send) in ns."""
    numbers = {publishing.message_stream_id for publishing in publishers}
    assert len(numbers) == 1, "the messages are the same for all, so all must have the same message stream id"
    head = beginning(clip, numbers.pop())
    slots = lap_slots(clip)
    sends = [publishing.socket.sendall for publishing in publishers]
    late_ns = slow_ns = slot = 0
    start_ns = time.monotonic_ns()
    while not stopping:
        due_ns = start_ns + slot * SLOT_MS * 1_000_000
        now_ns = time.monotonic_ns()
        if now_ns < due_ns:
            time.sleep((due_ns - now_ns) / 1e9)
        else:
            late_ns = max(late_ns, now_ns - due_ns)
        if slot < len(sends):
            sends[slot](head)
        elif slot == len(sends):
            print(json.dumps({"event": "publishing"}), flush=True)
        for begun, send in enumerate(sends[: slot + 1]):
            if data := slots[(slot - begun) % len(slots)]:
                before_ns = time.monotonic_ns()
                send(data)
                slow_ns = max(slow_ns, time.monotonic_ns() - before_ns)
        slot += 1
    return late_ns, slow_ns


def lap_slots(clip: Clip) -> list[bytes]:
    """What is due in each slot of a lap, as fmt 1 chunks whose deltas close over the lap."""
    kinds = {track.id: track.kind for track in clip.tracks}
    tracks = {track.id: track for track in clip.tracks}
    lap_ms = clip.lap_ticks // 90
    slots = [b""] * (lap_ms // SLOT_MS)
    rows = [(at_ticks // 90, frame) for at_ticks, frame in clip.lap()]
    last_ms = {frame.track: at_ms - lap_ms for at_ms, frame in rows}
    for at_ms, frame in rows:
        whole = message(tracks[frame.track], frame, 0, at_ms - last_ms[frame.track])
        csid = CSID_VIDEO if kinds[frame.track] is Kind.VIDEO else CSID_AUDIO
        last_ms[frame.track] = at_ms
        # fmt 0 with a delta as its time, but for the first byte and the message stream id, is fmt 1.
        chunk = bytes((0x40 | csid,)) + whole[1 : HEADER_BYTES - 4] + whole[HEADER_BYTES:]
        slots[at_ms // SLOT_MS] += chunk
    return slots


if __name__ == "__main__":
    main()
