"""Plays a file to an RTMP URL in real time, or into an FLV file at once: `python -m conformance.publish FILE URL`.

libavformat's own muxer and client, through PyAV: newer ones than Debian's ffmpeg, which knows nothing of it.
"""

from __future__ import annotations

import sys
import time

import av


def main() -> None:
    source, url = sys.argv[1:3]
    with av.open(source) as clip, av.open(url, "w", format="flv", options={"flvflags": "no_duration_filesize"}) as out:
        streams = {each.index: out.add_stream_from_template(each, opaque=True) for each in clip.streams}
        begun = time.monotonic()
        first = None
        for packet in clip.demux():
            if packet.dts is None:
                continue
            due = float(packet.dts * packet.time_base)
            first = due if first is None else first
            if url.startswith("rtmp"):
                time.sleep(max(due - first - (time.monotonic() - begun), 0))
            packet.stream = streams[packet.stream_index]
            out.mux(packet)


if __name__ == "__main__":
    main()
