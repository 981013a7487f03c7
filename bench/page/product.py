"""The sections on pushcast alone: latency, muxers, starts and API, many streams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.api_load import CONNECTIONS, ENDPOINTS
from bench.latency import INTERVAL_MS
from bench.page.accepted import SUBJECTS
from bench.page.figures import KIB, latency_ms, muxing_ratio, over, runs
from bench.page.files import Data, Sources
from bench.page.tables import number, paragraph, spread, table
from bench.starts import PROBES_PER_S

RANKS = (50, 90, 99, 99.9, 100)
MIB = 2**20
# What else the latency bench measures, as the page calls it.
ALONE = {"direct": "without server, RTMP", "libsrt": "libsrt alone, SRT"}


def latency(sources: Sources) -> list[str]:
    """Nothing when it was not measured, as all sections here."""
    if "latency" not in sources:
        return []
    rows = []
    for protocol in ("direct", *INTERVAL_MS, "libsrt"):
        for count in sorted({run["pushes"] for run in runs(sources, "latency", protocol=protocol)}):
            those = runs(sources, "latency", protocol=protocol, pushes=count)
            rows.append(
                (
                    ALONE.get(protocol) or SUBJECTS[protocol],
                    number(count),
                    *(spread(latency_ms(protocol, count, rank)(sources)) for rank in RANKS),
                    number(sum(run["count"] for run in those)),
                    number(sum(run["missing"] for run in those)),
                    number(max((run["interval_ms"] for run in those if "interval_ms" in run), default=None)),
                )
            )
    head = ("", "Pushes", "p50 ms", "p90 ms", "p99 ms", "p99.9 ms", "Most ms", "Frames", "Missing", "Interval then ms")
    return [
        "## Latency",
        paragraph(
            f"""
            From the publisher's last byte of a frame to its first byte at the receiver, through the whole server: the
            publisher stamps each video frame, the receivers note when the stamp arrives, over SRT on the wire.
            Destinations have a turn every {INTERVAL_MS["rtmp"]} ms (RTMP) or {INTERVAL_MS["udp"]} ms (UDP, SRT), so
            half an interval is what a frame waits on average. "Without server" is the same publisher connected to the
            same receiver: what the machine adds by itself. "libsrt alone" is a program that gives each datagram of one
            UDP push to as many SRT callers at once: with hundreds of them libsrt needs longer for the packets of a
            keyframe than until the next frame, which then waits behind them.
            """
        ),
        "![Latency percentiles for each protocol and number of pushes](performance/latency.svg)",
        table(head, rows),
    ]


def muxing(sources: Sources) -> list[str]:
    if "muxing" not in sources:
        return []
    mux = sources["muxing"].data["mux"]
    rows = [
        (
            name,
            number(mux[f"ns_per_{figure}"]),
            number(mux[f"floor_ns_per_{figure}"]),
            number(mux[f"ffmpeg_ns_per_{figure}"]),
            *(spread(muxing_ratio(figure, beside)(sources)) for beside in ("floor", "ffmpeg")),
        )
        for figure, name in (("ts_packet", "TS packet"), ("rtmp_message", "RTMP message"))
    ]
    head = ("Nanoseconds per", "pushcast", "Copy loop", "ffmpeg", "pushcast : copy loop", "pushcast : ffmpeg")
    return [
        "## Muxing",
        paragraph(
            f"""
            A stream is muxed once for each container, however many pushes it has. The copy loop writes headers of the
            right size and copies the payload into a ring as large, and does nothing else. ffmpeg's muxers are called
            with packets in memory and write to nowhere; its FLV muxer writes tags, RTMP's chunks would come on top.
            With the filter that `ffmpeg -c copy` inserts, ffmpeg takes
            {number(mux["ffmpeg_ns_per_ts_packet_filtered"])} ns per TS packet; the stream has
            {number(mux["ts_packets_per_s"])} of them a second. Medians of {len(mux["rounds"])} rounds.
            """
        ),
        "![Time per TS packet and per RTMP message](performance/muxing.svg)",
        table(head, rows),
    ]


def control(sources: Sources) -> list[str]:
    return [*_storms(runs(sources, "control", kind="storm")), *_beside(runs(sources, "control", kind="api"))]


def _storms(storms: list[Data]) -> list[str]:
    if not storms:
        return []
    rows = []
    for starts, mix in dict.fromkeys((run["starts"], run["protocols"]) for run in storms):
        those = [run for run in storms if (run["starts"], run["protocols"]) == (starts, mix)]
        rows.append(
            (
                mix.replace("+", ", "),
                number(starts),
                str(len(those)),
                *(_over(those, name) for name in ("answered_s", "slowest_answer_ms", "pushing_s")),
                *(number(float(np.percentile(_waits(those, "meanwhile"), rank))) for rank in (50, 99, 100)),
                number(float(np.percentile(_waits(those, "idle"), 99))),
                _over(those, "strangers_cores"),
            )
        )
    head = (
        *("Protocols", "Starts", "Rounds", "Answered after s", "Slowest answer ms", "All pushing after s"),
        *("Others wait ms, p50", "p99", "most", "p99 before", "Other load, cores"),
    )
    return [
        "## Many starts at once",
        paragraph(
            f"""
            So many `:startPush` calls over {storms[0]["connections"]} connections to live destinations, the protocols
            in turns; meanwhile somebody else asks the API {PROBES_PER_S} times a second on a connection of their own
            and notes how long each answer takes. That one is served by the kernel before the others, where it may be:
            its wait for one of the few cores is not the API's.
            """
        ),
        table(head, rows),
    ]


def _waits(those: Sequence[Data], when: str) -> list[float]:
    """Of all rounds together."""
    return [ms for run in those for ms in run[when]["took_ms"]] or [float("nan")]


def _beside(beside: list[Data]) -> list[str]:
    if not beside:
        return []
    rows = []
    for count in sorted({run["pushes"] for run in beside}):
        those = [run for run in beside if run["pushes"] == count]
        for endpoint in ENDPOINTS:
            rows.append(
                (
                    f"`{endpoint}`",
                    number(count),
                    str(len(those)),
                    *(spread(over(run[when][endpoint]["per_s"] for run in those)) for when in ("idle", "busy")),
                    spread(over(run["ratio"][endpoint] for run in those)),
                    *(spread(over(run[when][endpoint]["p99_ms"] for run in those)) for when in ("idle", "busy")),
                    spread(over(run["received"]["longest_gap_ms"] for run in those)),
                )
            )
    head = ("", "Pushes", "Rounds", "Answers per s, one push", "with all", "Ratio", "p99 ms, one push", "with all")
    return [
        "## The API beside running pushes",
        paragraph(
            f"""
            `wrk` asks as fast as it can over {CONNECTIONS} connections, with one RTMP push and with hundreds, in turns;
            the server's event loop then takes {_over(beside, "main_thread_cores")} of a core. The last column is the
            longest silence of any receiver while it asked.
            """
        ),
        table((*head, "Longest gap ms"), rows),
    ]


def ingest(sources: Sources) -> list[str]:
    those = runs(sources, "ingest")
    if not those:
        return []
    one: dict[str, Any] = those[0]
    full = sorted({f"{run['pushing']} of {run['pushes']}" for run in those})
    rows = [
        ("CPU of the event loop per stream, µs per s", _over(those, "us_per_stream_s")),
        ("CPU of the other threads per push, µs per s", _over(those, "us_per_push_s")),
        ("cores in all", spread(over(run["main_thread_cores"] + run["other_threads_cores"] for run in those))),
        ("memory of a stream's rings, MiB", spread(over(run["arena_bytes_per_stream"] / MIB for run in those))),
        ("memory of a stream beside them, KiB", spread(over(run["own_bytes_per_stream"] / KIB for run in those))),
        ("threads, with one stream and with all", f"{one['threads_with_one_stream']} and {one['threads']}"),
        ("pushes that push", ", ".join(full)),
        *(row for protocol in one["received"] for row in _received(those, protocol)),
        ("other load, cores", _over(those, "strangers_cores")),
    ]
    settings = sources["ingest"].data["settings"]
    each = one["each"].split(",")
    rounds = "1 round" if len(those) == 1 else f"{len(those)} rounds"
    early = "" if all(run["steady"] for run in those) else "Not all rings had been gone through: it says too little."
    return [
        "## Many streams",
        paragraph(
            f"""
            {number(one["streams"])} RTMP publishers of {number(settings["kbit_per_s"])} kbit/s of video each, every
            stream with {len(each)} pushes ({", ".join(each)}); median (low..high) of {rounds}. Memory is what the
            process grew by from one stream to all, per stream. {early}
            """
        ),
        table(("", "Figure"), rows),
    ]


def _received(those: Sequence[Data], protocol: str) -> list[tuple[str, str]]:
    """What the receivers of one protocol got."""
    return [
        (f"{SUBJECTS[protocol]}: {what}", spread(over(run["received"][protocol][name] for run in those)))
        for what, name in (
            ("receivers' rate, Mbit/s", "median_mbps"),
            ("the slowest receiver's", "least_mbps"),
            ("longest gap of a receiver, ms", "longest_gap_ms"),
        )
    ]


def _over(those: Sequence[Data], name: str) -> str:
    return spread(over(run[name] for run in those))
