"""Publishes the clip over RTMP, each video frame stamped with the time right before the one send that carries it.

The clip runs slower by SLOWER: frames come every 40.16 ms, so that within ten seconds the distance between a frame and
a sender's 40 ms (or 20 ms) turn takes every value.  At exactly 25 frames per second it would stay what it was at the
start, and one push would show one arbitrary latency.

    python -m bench.stamped_publisher --port P --app A --key K --sent FILE

Says {"event":"publishing"} at the first frame.  On SIGTERM it writes the stamps (u64, ns) to the file, says
{"event":"summary"} and ends.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.clip import Clip, clip_path, read_clip
from bench.publisher import HEADER_BYTES, VIDEO_HEAD_BYTES, Publishing, beginning, message, publish
from bench.stamp import DIGITS, DIGITS_AT, digits, with_stamp
from pushcast.media import Kind

SLOWER = 1.004
LONGEST_S = 16000  # then the 24 bits of a plain RTMP time stamp are used up


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--app", default="app")
    parser.add_argument("--key", default="live")
    parser.add_argument("--sent", type=Path, required=True)
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    clip = read_clip(clip_path())
    publishing = publish(options.port, options.app, options.key)
    publishing.socket.sendall(beginning(clip, publishing.message_stream_id))
    print(json.dumps({"event": "publishing"}), flush=True)
    sent: list[int] = []
    late_ns: list[int] = []
    start_ns = time.monotonic_ns()
    for at_ms, is_video, data in _messages(clip, publishing):
        due_ns = start_ns + at_ms * 1_000_000
        ahead_s = (due_ns - time.monotonic_ns()) / 1e9
        if ahead_s > 0:
            time.sleep(ahead_s)
        if stopping or at_ms > LONGEST_S * 1000:
            break
        now_ns = time.monotonic_ns()
        if is_video:
            data[_DIGITS] = digits(now_ns)
            sent.append(now_ns)
            late_ns.append(now_ns - due_ns)
        publishing.socket.sendall(data)
    np.array(sent, "<u8").tofile(options.sent)
    late_ms = np.array(late_ns) / 1e6
    summary = {"event": "summary", "frames": len(sent), "late_p99_ms": 0.0, "late_max_ms": 0.0}
    if sent:
        summary |= {"late_p99_ms": round(float(np.percentile(late_ms, 99)), 3), "late_max_ms": round(late_ms.max(), 3)}
    print(json.dumps(summary), flush=True)


_DIGITS = slice(HEADER_BYTES + VIDEO_HEAD_BYTES + DIGITS_AT, HEADER_BYTES + VIDEO_HEAD_BYTES + DIGITS_AT + DIGITS)


def _messages(clip: Clip, publishing: Publishing) -> Iterator[tuple[int, bool, bytearray]]:
    """(time in ms, is video, message) over and over; the buffers are made once and used again."""
    tracks = {track.id: track for track in clip.tracks}
    lap: list[tuple[int, bool, bytearray]] = []
    for at_ticks, frame in clip.lap():
        is_video = tracks[frame.track].kind is Kind.VIDEO
        shown = replace(frame, data=with_stamp(frame.data)) if is_video else frame
        whole = message(tracks[frame.track], shown, publishing.message_stream_id, 0)
        lap.append((at_ticks, is_video, bytearray(whole)))
    offset = 0
    while True:
        for at_ticks, is_video, data in lap:
            at_ms = round((at_ticks + offset) * SLOWER / 90)
            data[1:4] = at_ms.to_bytes(3)
            yield at_ms, is_video, data
        offset += clip.lap_ticks


if __name__ == "__main__":
    main()
