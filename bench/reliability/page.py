"""docs/reliability.md, out of a result file."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from bench.page.tables import WIDTH, number, paragraph, table
from bench.reliability.receivers import ROUND_TRIPS
from bench.reliability.troubles import (
    CATCH_UP_S,
    LOSS_S,
    LOSS_TOLD_S,
    RATE_PERCENT,
    RATE_S,
    RATE_TOLD_S,
    RETRY_S,
    SHOWS_S,
    STALLED_TOLD_S,
    TROUBLES,
)
from bench.reliability.verdict import NAMES, SILENT, TURN_MS, TURNS, Run, gap_ms

NO_FIGURE = "–"
LOOK_EVERY_S = 0.1
OTHERS = {"rtmp": "RTMP", "udp": "UDP", "srt": "SRT"}


def page(data: dict[str, Any], file: str) -> str:
    """The whole page in Markdown; ``file`` is the name of the result file."""
    runs: list[Run] = data["runs"]
    parts = [
        "# Reliability",
        "<!-- Made by `make bench-reliability`: changes go into bench/reliability. -->",
        *_measured(data, file),
        *_how(),
        "## What pushes over bad paths do",
        _pushes(runs),
        *_columns(),
        "## What the other pushes notice",
        *_others(data, runs),
        *_lines(data["lines"]),
        *_limits(),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(data: dict[str, Any], file: str) -> list[str]:
    machine, settings = data["machine"], data["settings"]
    rounds = settings["rounds"]
    return [
        paragraph(
            f"""
            What becomes of pushes whose path or receiver is bad: how long until the push says so, how long until it
            has healed, what the receiver lacks, and what {settings["others"]} other pushes of the same stream notice.
            """
        ),
        paragraph(
            f"""
            Measured at {data["time"]} on commit `{data["commit"]}`: {machine["cores"]} cores of {machine["cpu"]},
            {machine["memory_gib"]} GiB of memory, Linux {machine["kernel"]}, Python {machine["python"]}; load average
            {", ".join(map(str, machine["load"]))} at the beginning. {rounds} {"round" if rounds == 1 else "rounds"}.
            All figures are in `bench/results/{file}`. To measure it again, as root, in a quarter of an hour for each
            round:
            """
        ),
        "```sh\nmake bench-reliability\n```",
    ]


def _how() -> list[str]:
    return [
        "## How",
        paragraph(
            """
            A server plays one stream (720p50 H.264 at 2.5 Mbit/s with a keyframe each second, AAC at 128 kbit/s).
            RTMP, RTMPS, SRT and MPEG-TS over UDP each push it to a receiver on a host of its own, a network
            namespace, behind a path of its own; all paths get the trouble at once. Every trouble has a network and a
            server that are made for it.
            """
        ),
        "```\n"
        "server --- relay --- router --- receiver's host\n"
        "           delay,    loss (nftables: numgen random), rate (tc tbf),\n"
        "           order,    resets (nftables: reject)\n"
        "           cuts\n"
        "```",
        paragraph(
            """
            The relay (`bench/relay_ip.c`) passes IP packets between two TUN devices, so that TCP, TLS and SRT speak
            from end to end. A packet takes 20 ms either way, and nothing else happens to it, unless the trouble says
            otherwise: a round trip is 40 ms. Loss, rate and resets are on the way to the receiver alone; delay, order
            and cuts are in both directions.
            """
        ),
        paragraph(
            f"""
            One SRT push asks for a latency of {ROUND_TRIPS["srt"]} round trips, another one of
            {ROUND_TRIPS["srt-patient"]}. RTMPS ends at an nginx that takes TLS off, and checks its certificate by an
            authority of ours. Receivers are `pushcast sink`. Losses, delay and reordering last {LOSS_S:g} s, the
            limited rate {RATE_S:g} s. At {RATE_PERCENT} % of the rate a path carries that part of the stream's
            pictures and sound, with all headers in it, and queues 200 ms. Reordered packets are held back for 30 ms.
            A reset: for a second and a half the router answers with TCP's RST or ICMP's "port unreachable", and
            meanwhile the receiver leaves, with SRT's shutdown, and comes back. A host that vanishes says nothing any
            more; after 20 s another one that knows of no connection has its address.
            """
        ),
        paragraph(
            """
            All pushes begin with the stream's first keyframe and end with the stream. So what a receiver lacks is
            known to the byte: what a receiver beside the server got more, pictures and sound without containers.
            """
        ),
    ]


def _pushes(runs: Sequence[Run]) -> str:
    head = ("Trouble", "Push", "Told after", "It says first", "Healed after", "Ok again after", "Lacks")
    rows = []
    for trouble in TROUBLES:
        of_it = [run for run in runs if run["trouble"] == trouble.name]
        for protocol, name in NAMES.items():
            if of_it:
                pushes = [run["pushes"][protocol] for run in of_it]
                rows.append((trouble.name, name, *_push(protocol, pushes, of_it[0]["bytes_per_s"])))
    return table(head, rows, words=(0, 1, 3))


def _push(protocol: str, pushes: Sequence[dict[str, Any]], bytes_per_s: float) -> tuple[str, ...]:
    """The cells of a push, over the rounds: the worst of them."""
    told = [push for push in pushes if push["told_s"] is not None]
    worst = max(told, key=lambda push: push["told_s"]) if told else None
    lacks = max(push["lost_bytes"] for push in pushes)
    said = f"{worst['told']}: {_without_host(worst['reason'])}" if worst is not None else _nothing(protocol, lacks)
    return (
        NO_FIGURE if worst is None else f"{number(worst['told_s'])} s",
        said,
        _seconds([push["healed_s"] for push in pushes]),
        _seconds([push["ok_s"] for push in pushes]),
        _lacking(lacks, pushes, bytes_per_s),
    )


def _lacking(lacks: int, pushes: Sequence[dict[str, Any]], bytes_per_s: float) -> str:
    if lacks:
        return f"{number(lacks / 1000)} kB ({number(lacks / bytes_per_s)} s)"
    misplaced = max(push["received"]["continuity_errors"] for push in pushes)
    return f"0, but out of order in {misplaced} places" if misplaced else "0"


def _nothing(protocol: str, lacks: int) -> str:
    if lacks == 0:
        return "nothing, and nothing was lost"
    return "nothing: it cannot know" if protocol in SILENT else "nothing"


def _without_host(reason: str) -> str:
    """What was said, without the address before it."""
    return reason.rpartition(": ")[2] if "10.82." in reason else reason


def _seconds(values: Sequence[float | None]) -> str:
    worst = [value for value in values if value is not None]
    if len(worst) < len(values):
        return "never"
    return f"{number(max(worst))} s" if max(worst) >= LOOK_EVERY_S else "at once"


def _columns() -> list[str]:
    return [
        _items(
            """
            **Told after**: from the beginning of the trouble until the push is not `pushing` and `ok` any more.
            """,
            """
            **Healed after**: from the end of the trouble until the push is `pushing`, its receiver gets media, and it
            is less than a second behind its stream, for good. Looked at ten times a second: at once is less than that.
            """,
            """
            **Ok again after**: the same, and `health` is `ok`. What was lost shows for half a minute, so that somebody
            can see it.
            """,
            """
            **Lacks**: pictures and sound that the receiver never got, and for how long the stream plays them.
            """,
        ),
        paragraph(
            f"""
            Bounds. The truth is told within {STALLED_TOLD_S:g} s where nothing passes any more: health is looked at
            once a second, and speaks of a stall after two. It is told within {RATE_TOLD_S:g} s where a fifth of the
            rate is missing, and while it lasts ({LOSS_TOLD_S:g} s) where packets are lost: a transport that repairs
            its losses speaks of them when more than 5 % of a second had to be sent again. A connection that outlives
            its trouble has healed within {CATCH_UP_S:g} s, also one that is lost and whose receiver is there at the
            first attempts; where attempts failed for long it takes up to {RETRY_S:g} s, the longest wait between two
            of them and one that runs into its deadline. It is `ok` {SHOWS_S:g} s later at the latest. Where nothing
            is told nothing may be lost.
            """
        ),
    ]


def _others(data: dict[str, Any], runs: Sequence[Run]) -> list[str]:
    head = ("Trouble", *(f"Longest gap {OTHERS[protocol]}" for protocol in TURN_MS))
    rows = []
    for trouble in TROUBLES:
        of_it = [run for run in runs if run["trouble"] == trouble.name]
        if of_it:
            rows.append((trouble.name, *(f"{number(gap_ms(of_it, protocol))} ms" for protocol in TURN_MS)))
    bounds = ", ".join(f"{OTHERS[protocol]} {TURNS * turn_ms:g}" for protocol, turn_ms in TURN_MS.items())
    return [
        paragraph(
            f"""
            {data["settings"]["others"]} pushes of the same stream to receivers beside the server, on the same sender
            thread. A gap is the time between two arrivals at a receiver, the longest of all of them from the
            beginning of the trouble until everything is `ok` again. A trouble beside which one was too long was
            measured twice more, and the median counts. Allowed are three turns in milliseconds ({bounds}).
            """
        ),
        table(head, rows),
    ]


def _lines(lines: Sequence[dict[str, Any]]) -> list[str]:
    broken = [line for line in lines if not line["holds"]]
    said = f"Of {len(lines)} lines {len(lines) - len(broken)} hold."
    rows = [(line["name"], _figure(line, "allowed"), _figure(line, "found")) for line in broken]
    return ["## Lines", said, *([table(("Does not hold", "Allowed", "Found"), rows)] if rows else [])]


def _figure(line: dict[str, Any], side: str) -> str:
    return f"{number(line[side])} {line['unit']}".strip() if math.isfinite(line[side]) else "never"


def _limits() -> list[str]:
    return [
        "## Limits",
        _items(
            """
            UDP has no answer. Only a host that says that nobody listens shows in the push; loss, a cut and a host that
            vanished do not, and no sender can know of them. Datagrams that overtake each other all arrive, but bare
            MPEG-TS has nothing to put them in order by.
            """,
            """
            SRT repairs what its latency leaves time for: a repair takes a round trip and a little more, and is as
            likely to be lost as any packet. Lost packets are sent again at each report of the peer, half a round trip
            apart: at 10 % loss four round trips leave room for some five repairs, so that one packet of a hundred
            thousand may be missing. On a path that is too narrow for the stream, repairs take the place of media: such
            a push loses more than one over UDP, and says so.
            """,
            """
            TCP that was cut sends again when its own timer says so, which doubles each time: after a cut it may be
            silent for about as long as the cut was, 10 s at the most; then the push gives the connection up.
            """,
            """
            One machine, whose two cores also run the receivers, the paths and the observer.
            """,
        ),
    ]


def _items(*texts: str) -> str:
    return "\n".join(
        textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="- ", subsequent_indent="  ") for text in texts
    )
