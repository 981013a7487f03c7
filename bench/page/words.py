"""The page: what was measured and how, the lines that must hold, the sections, and what all of it does not show."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.page import comparison, product
from bench.page.accepted import LEAST_ROUNDS, judged
from bench.page.figures import runs
from bench.page.files import BENCHES, Sources
from bench.page.service import service, tls
from bench.page.tables import counted, paragraph, table, verdicts
from bench.peers.run import DISTURBED_CORES, FULL_RATE

KINDS = {
    "peers": "beside the rivals",
    "latency": "latency",
    "control": "starts and API",
    "ingest": "many streams",
    "api": "API beside a bare handler",
    "siege": "API under attack",
    "restart": "killed and started again",
    "rtmps": "RTMPS beside RTMP",
    "muxing": "muxers",
}


def page(sources: Sources) -> str:
    """The whole page in Markdown; a section whose file is missing is not in it."""
    parts = [
        "# Performance",
        "<!-- Made by `make bench-page` from the files named below: changes go into bench/page. -->",
        *_measured(sources),
        *(_how() if "peers" in sources else ()),
        *_lines(sources),
        *(comparison.sections(sources["peers"].data) if "peers" in sources else ()),
        *product.latency(sources),
        *product.muxing(sources),
        *product.control(sources),
        *product.ingest(sources),
        *service(sources),
        *tls(sources),
        *_not_shown(sources),
        *_again(),
    ]
    return "\n\n".join(parts) + "\n"


def _measured(sources: Sources) -> list[str]:
    rows = []
    for kind, what in KINDS.items():
        if kind in sources:
            file = sources[kind]
            rows.append(_when(what, file.data, file.name))
            rows += [_when(_anew(each["options"]), each, file.name) for each in file.data.get("again", ())]
    parts = [
        "## What was measured",
        paragraph(
            """
            What it takes to send a live stream to N destinations: pushcast as it is shipped, beside the rivals that
            Debian 12 ships and beside the floor, a bare loop that does nothing but send the same bytes.
            """
        ),
        *(f"Machine: {machine}" for machine in _machines(sources)),
    ]
    if "peers" in sources:
        data = sources["peers"].data
        parts.append(paragraph(f"The stream: {data['clip']}. The rivals: {_versions(data['versions'])}."))
    parts.append(
        table(("", "Commit", "Time", "Load average at the beginning", "File in `bench/results`"), rows, words=range(5))
    )
    if any(file.data["commit"].endswith("-modified") for file in sources.values()):
        parts.append("A commit that ends in `-modified` is a tree with changes that are in no commit.")
    if len({file.data["commit"] for file in sources.values()}) > 1:
        parts.append("The parts were measured on different commits.")
    return parts


def _when(what: str, measured: Mapping[str, Any], name: str) -> tuple[str, ...]:
    load = ", ".join(map(str, measured["machine"]["load"]))
    return what, f"`{measured['commit']}`", measured["time"], load, f"`{name}`"


def _anew(options: Mapping[str, Any]) -> str:
    """What of a file was measured at another time than the rest."""
    who = ", ".join(options["participants"]) or "all"
    where = ", ".join(options["protocols"])
    counts = ", ".join(map(str, options["destinations"]))
    return f"of these {who} over {where}, N = {counts}, again"


def _machines(sources: Sources) -> list[str]:
    """Each machine that a file was measured on, once."""
    said = {}
    for file in sources.values():
        machine = {name: value for name, value in file.data["machine"].items() if name != "load"}
        said[json.dumps(machine, sort_keys=True)] = (
            f"{machine['cores']} cores of {machine['cpu']}, {machine['memory_gib']} GiB of memory,"
            f" Linux {machine['kernel']}, Python {machine['python']}."
        )
    return list(said.values())


def _versions(versions: dict[str, str]) -> str:
    """Each in its own first words; the copyright behind ffmpeg's is no version."""
    return ", ".join(
        f"{name} {said.partition(' Copyright')[0].split(' version ')[-1].split('/')[-1]}"
        for name, said in versions.items()
    )


def _how() -> list[str]:
    return [
        "## How",
        paragraph(
            f"""
            CPU is user and system time of a participant's whole process tree, libraries' threads included. Publisher
            and sinks are processes of their own and not in it. Those that are compared run right after one another with
            the same clip and the same sinks, A B A B, round after round, so that each round gives a ratio of its own;
            what is shown is the median over the rounds, with the lowest and the highest. A run beside more than
            {DISTURBED_CORES:g} cores of other load is repeated once and the quieter one counts; a run that stays
            disturbed says so.
            """
        ),
        paragraph(
            """
            nginx-rtmp and pushcast are fed over RTMP by the same publisher, and taking that in is part of their CPU.
            Its sound and pictures leave together, the feed that was cheapest for nginx-rtmp. ffmpeg reads the clip
            itself, in real time, without transcoding; GStreamer reads it, demultiplexes and muxes. nginx has one worker
            and the chunk size that was cheapest for it. N × ffmpeg is a process for each push. The time behind a name
            is the interval between two sends to a destination; the rivals have no such setting. The floor of RTMP
            publishes to its receivers first, as everybody does: one that never spoke would acknowledge otherwise, and
            cost less.
            """
        ),
        paragraph(
            f"""
            *Full rate* is at least {100 * FULL_RATE:g} % of what the clip has in a window. \\* marks who was still
            sending what it had missed during its own start, † marks a round in which not every sink was at full rate:
            then the CPU per Gbit is that of what arrived.
            """
        ),
    ]


def _lines(sources: Sources) -> list[str]:
    lines = judged(sources)
    return [
        "## What must hold",
        paragraph(
            f"""
            Ratios are pushcast's figure to the other's of the same round. A figure is the median of the rounds unless
            the line says otherwise, and {LEAST_ROUNDS} rounds are asked for. {counted(lines)}
            """
        ),
        verdicts(lines),
    ]


def _not_shown(sources: Sources) -> list[str]:
    return [
        "## What this does not show",
        paragraph(
            """
            A network. On loopback a send also does the receiver's half of the network stack, in the sender's time:
            every figure holds that, the floors too, and with a network card the shares are others. There is no loss, no
            round trip time, no congestion and nothing to send again, for which SRT was made. No rival uses TLS or
            encryption. The sinks discard what they get and are always ready; what a destination that stalls or dies
            does to the others is not here.
            """
        ),
        paragraph(
            """
            Other machines and streams. It is one virtual machine with few cores, which publisher, sinks and participant
            share, on a host that others may use; one clip at one bitrate, with one keyframe each second. At another
            bitrate a send carries more or less and CPU per Gbit is another. Times move with what else the host does,
            which nothing here sees but its stolen time; ratios of paired runs move less.
            """
        ),
        paragraph(
            """
            All rivals. They are what Debian ships, in the versions above, set up as their manuals say; newer versions
            may do better, and so may somebody who knows them better. SRS and OvenMediaEngine are not in Debian and so
            not in the run. ffmpeg tee opens its outputs one after the other and then sends what it has missed
            meanwhile: where it was still at that, its figures are marked. A rival that does other things besides
            (transcoding, recording, playback) pays for being able to.
            """
        ),
        *_other_load(sources),
    ]


def _other_load(sources: Sources) -> list[str]:
    """What else kept the machine busy, from the files."""
    said = []
    if "peers" in sources:
        peers = sources["peers"].data["runs"]
        disturbed = sum(run["disturbed"] for run in peers)
        repeated = sum(run["repeat"] for run in peers)
        said.append(
            f"{_cores([run['other_cores'] for run in peers])} beside the rivals"
            f" ({len(peers)} runs, {disturbed} with more than {DISTURBED_CORES:g} cores; {repeated} were repetitions)"
        )
    for kind in ("latency", "ingest"):
        known = [run["strangers_cores"] for run in runs(sources, kind) if "strangers_cores" in run]
        said += [f"{_cores(known)} in {KINDS[kind]}"] if known else []
    storms = [run["strangers_cores"] for run in runs(sources, "control", kind="storm")]
    beside = [cores for run in runs(sources, "control", kind="api") for cores in run["strangers_cores"].values()]
    said += [f"{_cores(storms)} in storms of starts"] if storms else []
    said += [f"{_cores(beside)} beside the API"] if beside else []
    text = "; ".join(said)
    return [paragraph(f"A quiet machine. Other load, in cores, median and most of all runs: {text}.")] if said else []


def _cores(values: Sequence[float]) -> str:
    """Not below zero: what is there of errors of measurement is no load."""
    return f"{max(float(np.median(values)), 0.0):.2f} and {max(*values, 0.0):.2f}"


def _again() -> list[str]:
    commands = [
        (BENCHES["peers"], "about an hour; `BENCH_ARGS=--quick` takes three minutes"),
        (BENCHES["latency"], "a quarter of an hour"),
        (BENCHES["control"], "ten minutes"),
        (BENCHES["ingest"], "twenty minutes"),
        (BENCHES["api"], "five minutes"),
        (BENCHES["siege"], "five minutes"),
        (BENCHES["restart"], "two minutes"),
        (BENCHES["rtmps"], "three minutes"),
        (BENCHES["muxing"], "some minutes; its muxing part is on this page"),
        ("make bench-page", "this page from the newest files in `bench/results`, seconds"),
    ]
    return [
        "## To run it again",
        paragraph(
            """
            On a Debian 12, as root or with sudo. The benches install what they need and keep their figures in
            `bench/results`; with its default rounds each takes about:
            """
        ),
        table(("Command", "Takes"), [(f"`{command}`", takes) for command, takes in commands], words=(0, 1)),
    ]
