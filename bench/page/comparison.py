"""The sections that compare: for each protocol CPU, memory, threads, start and rate, by participant and number."""

from __future__ import annotations

from collections.abc import Iterator

from bench.page.figures import Comparison, kind_of, label
from bench.page.files import Data
from bench.page.tables import NOTHING, number, paragraph, spread, table
from bench.peers import plan, report

TITLES = {
    "rtmp": "RTMP",
    "udp": "MPEG-TS over UDP",
    "udp-apart": "MPEG-TS over UDP to receivers without UDP_GRO",
    "srt": "SRT",
}
SAME = {
    "rtmp": "one `send` for each destination and interval",
    "udp": "one `send` for each destination and interval, which the kernel cuts into datagrams",
    "udp-apart": "one `send` for each destination and interval, which the kernel cuts into datagrams",
    "srt": "libsrt, a local port for each 250 sockets",
}
PREFERRED = 400
MIB = 2**20


def sections(data: Data) -> list[str]:
    """Of the results of `make bench-peers`."""
    compared = Comparison(data)
    parts = []
    for protocol in compared.protocols():
        parts += _protocol(compared, protocol)
    return [*parts, *_memory_and_start(), *_shortened(data)]


def _protocol(compared: Comparison, protocol: str) -> list[str]:
    counts = compared.counts(protocol)
    shown = _shown(compared, protocol)
    return [
        f"## {TITLES[protocol]}",
        paragraph(
            f"""
            The floor is a bare loop in C that plays the same bytes to the same sinks: {SAME[protocol]}. The engine is
            pushcast's source, muxer, ring and sender in a process without server.
            """
        ),
        *_receivers(compared, protocol),
        f"![CPU per Gbit against the number of {TITLES[protocol]} pushes](performance/cpu-{protocol}.svg)",
        "CPU milliseconds per Gbit delivered, median of the rounds (low..high):",
        _matrix(compared, protocol, counts),
        "pushcast's CPU per Gbit to that of the others in the same round, median (low..high):",
        _ratios(compared, protocol, counts),
        f"With {shown} pushes:",
        _others(compared, protocol, shown),
        _everything(compared, protocol, counts),
    ]


def _receivers(compared: Comparison, protocol: str) -> list[str]:
    """What the receivers of datagrams are, and how much of the figures is theirs."""
    if protocol == "udp":
        return [
            paragraph(
                """
                The receivers of everybody take the datagrams of one send together (`UDP_GRO`). On loopback a send that
                goes to one which does not is cut apart in the sender's time, which is a network card's or the far
                host's work elsewhere: the section behind this one has the figures with such receivers.
                """
            )
        ]
    floor = compared.rows.get((protocol, PREFERRED, "floor-20"))
    rival = compared.rows.get((protocol, PREFERRED, "gstreamer"))
    if protocol != "udp-apart" or not floor or not rival:
        return []
    share = floor["cpu_ms_per_gbit"]["median"] / rival["cpu_ms_per_gbit"]["median"]
    return [
        paragraph(
            f"""
            The same as above, but each receiver takes datagram by datagram, and the sender pays for that on loopback:
            the floor alone takes {share:.2f} of GStreamer's CPU with {PREFERRED} pushes, and no sender that makes one
            send for each destination and interval can take less.
            """
        )
    ]


def _shown(compared: Comparison, protocol: str) -> int:
    """The number of pushes for the short table: the preferred one, or the largest with a rival in it."""
    beside = {key[1] for key in compared.rows if key[0] == protocol and key[2] in report.RIVALS}
    counts = beside or {*compared.counts(protocol)}
    return PREFERRED if PREFERRED in counts else max(counts)


def _matrix(compared: Comparison, protocol: str, counts: list[int]) -> str:
    rows = [
        [label(name), *(_cpu(compared.rows.get((protocol, count, name))) for count in counts)]
        for name in compared.participants(protocol)
    ]
    return table(["", *(f"N = {count}" for count in counts)], rows)


def _cpu(row: Data | None) -> str:
    if row is None:
        return ""
    short = " †" if row["full_rate"] < row["destinations"] else ""
    return spread(row["cpu_ms_per_gbit"]) + ("" if row["settled"] else " \\*") + short


def _ratios(compared: Comparison, protocol: str, counts: list[int]) -> str:
    rows = []
    for ours in compared.participants(protocol, ("pushcast",)):
        for rival in compared.participants(protocol):
            cells = [compared.ratios.get((protocol, count, ours, rival)) for count in counts]
            if any(cells):
                rows.append([f"{label(ours)} : {label(rival)}", *(spread(cell) if cell else "" for cell in cells)])
    return table(["", *(f"N = {count}" for count in counts)], rows)


def _others(compared: Comparison, protocol: str, count: int) -> str:
    head = ("", "Cores", "Threads (processes)", "Memory MiB", "KiB per push", "All started after s", "At full rate")
    rows = []
    for name in compared.participants(protocol):
        row = compared.rows.get((protocol, count, name))
        if row:
            rows.append(
                (
                    label(name),
                    number(row["cores"]["median"]),
                    _threads(row),
                    *_memory(row),
                    _start(row),
                    f"{row['full_rate']} of {count}",
                    number(row["gap_ms"]["median"]),
                )
            )
    return table((*head, "Longest gap ms"), rows)


def _everything(compared: Comparison, protocol: str, counts: list[int]) -> str:
    head = (
        *("N", "", "Rounds", "CPU ms per Gbit", "CPU µs per push and s", "Cores", "Threads (processes)", "Memory MiB"),
        *("KiB per push", "All started after s", "At full rate", "Longest gap ms", "Other load, cores", "Remarks"),
    )
    rows = []
    for count in counts:
        for name in compared.participants(protocol):
            row = compared.rows.get((protocol, count, name))
            if row:
                rows.append((str(count), *_full(row)))
    return "\n\n".join(
        (
            f"<details><summary>Every figure of {TITLES[protocol]}</summary>",
            table(head, rows, words=(1, 13)),
            "</details>",
        )
    )


def _full(row: Data) -> Iterator[str]:
    yield label(row["participant"])
    yield str(row["rounds"])
    yield spread(row["cpu_ms_per_gbit"])
    for metric in ("cpu_us_per_push_s", "cores"):
        yield number(row[metric]["median"])
    yield _threads(row)
    yield from _memory(row)
    yield _start(row)
    yield f"{row['full_rate']} of {row['destinations']}"
    yield number(row["gap_ms"]["median"])
    yield f"{row['other_cores']['median']:.2f}"
    yield "; ".join(filter(None, (report.remarks(row), *map(_short, row["errors"]))))


def _threads(row: Data) -> str:
    return f"{row['threads']['median']:,.0f} ({row['processes']['median']:,.0f})"


def _memory(row: Data) -> tuple[str, str]:
    """Of a floor it is that of the bytes which it plays."""
    if kind_of(row["participant"]) == "floor":
        return NOTHING, NOTHING
    slope = row["pss_per_push_bytes"]
    return f"{row['pss_bytes']['median'] / MIB:,.1f}", f"{slope['median'] / 1024:,.1f}" if slope else NOTHING


def _start(row: Data) -> str:
    return f"{row['start_last_s']['median']:.2f}" if row["start_last_s"] else NOTHING


def _short(error: str) -> str:
    """A peer's own words, without what a table would take for its own."""
    return error.replace("|", "/").replace("<", "&lt;")[:80]


def _memory_and_start() -> list[str]:
    return [
        "## Memory and start",
        paragraph(
            """
            Memory is the PSS of the whole process tree at the end of a window; memory per push is its slope from one
            push on. Socket buffers are the kernel's and in nobody's figure. The floors' memory is that of the bytes
            they play.
            """
        ),
        "![Memory against the number of pushes, for each protocol](performance/memory.svg)",
        paragraph(
            """
            The start is counted from what asks for the pushes to the first media byte at the last sink: from the first
            REST call (pushcast, one call after the other), from the launch of the publisher (nginx-rtmp: some 0.3 s are
            the publisher's own), from the launch of the process (the others).
            """
        ),
        "![Time until all pushes had started, for each protocol](performance/start.svg)",
    ]


def _shortened(data: Data) -> list[str]:
    """What the bench runs less often than asked, with its reason."""
    reasons: dict[tuple[str, int], dict[tuple[str, int], set[str]]] = {}
    for limit in data["limits"]:
        who = reasons.setdefault((limit["why"], limit["rounds"]), {})
        who.setdefault((kind_of(limit["participant"]), limit["destinations"]), set()).add(limit["protocol"])
    rows = [
        (why, str(rounds) if rounds else "left out", "; ".join(_who(*key, on, data) for key, on in who.items()))
        for (why, rounds), who in reasons.items()
    ]
    asked = data["options"]["rounds"]
    said = f"Asked for were {asked} rounds of everybody. These ran less often:"
    return ["## Fewer rounds", said, table(("Why", "Rounds", "Who"), rows, words=(0, 1, 2))] if rows else []


def _who(kind: str, count: int, on: set[str], data: Data) -> str:
    """With the protocols only where it is not all that were run."""
    runs_in = {protocol for protocol in data["options"]["protocols"] if kind in map(kind_of, plan.ORDER[protocol])}
    where = "" if on == runs_in else f" ({', '.join(TITLES[protocol] for protocol in TITLES if protocol in on)})"
    return f"{label(kind)} at {count}{where}"
