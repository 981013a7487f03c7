"""The API beside a bare Sanic handler that answers the same requests with the same bytes, on one machine, in turns.

Two servers of pushcast run at once, one with a single reserved push, one with 10,000 in one application and 1,000 in
another, and a bare Sanic application (bare_sanic.py).  wrk asks each of them over 64 connections; a pair is a durable
:startPush and the :stopPush of the same id behind it, each client with ids of its own (wrk has a thread for each
connection then, for a script knows its thread alone).

Lines, on the medians of all rounds: :pushes of one id at least 0.6 of the bare handler, pairs at least 0.25 of the
pairs that the bare handler answers; with 10,000 pushes a look at one of them as fast as with one (0.95: what the
medians scatter); a list of 1,000 in less than 10 ms of the event loop's CPU time; and no server's loop held for more
than 20 ms (watched.py).

bench/results/api-<commit>.json: ``runs`` with requests per second by name, and the milliseconds of a list.

    python -m bench.api [--rounds N] [--seconds S]      from the repository's root
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.lines import Line, Results
from bench.request import AUTHORIZATION
from bench.served import QUIET, Served, Use, free_port, port_bound, serving, until
from bench.wrk import ask, post_script

CLIENTS = 64
RESERVED = 10_000
LISTED = 1_000
LISTS = 50
AT_ONCE = 500
ONE = "push-0"
APPS = '[[vhosts]]\nname = "default"\napps = [{ name = "app" }, { name = "listed" }]\n'
LISTED_PATH = "/v1/vhosts/default/apps/listed"
PAIRS = Path(__file__).with_name("pairs.lua")

LEAST_LOOKUPS, LEAST_PAIRS, LEAST_AMONG_MANY = 0.6, 0.25, 0.95
LIST_MS, HELD_MS = 10.0, 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each figure")
    parser.add_argument("--output", type=Path, help="default bench/results/api-<commit>.json")
    options = parser.parse_args()
    results = Results("api", options.output, rounds=options.rounds, seconds=options.seconds)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        servers = running.enter_context(_servers(folder))
        for number in range(options.rounds):
            run = _round(*servers, folder, options.seconds, number)
            results.add({"round": number, **run})
            print("  ".join(f"{name} {value:.4g}" for name, value in run.items()), flush=True)
        held = {}
        ended_s = time.monotonic()
        for name, served in zip(("few", "many"), servers, strict=False):
            served.close()
            # While it ends it answers nobody.
            known = json.loads((folder / name / "held.json").read_text())
            held[name] = [ms for at_s, ms in known if at_s < ended_s]
    results.all["held_ms"] = held
    results.finish(_lines(results.all["runs"], held))


@contextmanager
def _servers(folder: Path) -> Iterator[tuple[Served, Served, int]]:
    """The server with one push, that with many, and the port of the bare application."""
    with ExitStack() as running:
        started = []
        for name in ("few", "many"):
            (folder / name).mkdir()
            watched = ("bench.watched", str(folder / name / "held.json"))
            started.append(running.enter_context(serving(folder / name, extra=f"{QUIET}{APPS}", program=watched)))
        few, many = started
        _reserve(few, Served.app, 1)
        _reserve(many, Served.app, RESERVED)
        _reserve(many, LISTED_PATH, LISTED)
        yield few, many, running.enter_context(_bare(few, folder))


def _reserve(served: Served, app: str, count: int) -> None:
    """Pushes of a stream that never comes."""
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(first + AT_ONCE, count))
        status, answer = served.call("POST", f"{app}:startPushes", {"pushes": [_push(number) for number in numbers]})
        assert status == 207, answer
        assert {each["statusCode"] for each in answer["response"]} == {200}, answer


def _push(number: int) -> dict[str, Any]:
    url = f"rtmp://127.0.0.1:{1 + number % 60_000}/live"
    return {
        "id": f"push-{number}",
        "stream": {"name": "none"},
        "protocol": "rtmp",
        "url": url,
        "streamKey": f"key-{number}",
    }


@contextmanager
def _bare(few: Served, folder: Path) -> Iterator[int]:
    asked = (
        (":pushes", {"id": ONE}),
        (":startPush", {**_push(1), "id": "round-0-0-1"}),
        (":stopPush", {"id": "round-0-0-1"}),
    )
    answers = {f"app{action}": few.call("POST", f"{Served.app}{action}", body)[1] for action, body in asked}
    (folder / "answers.json").write_text(json.dumps(answers))
    port = free_port()
    command = [sys.executable, "-m", "bench.bare_sanic", "--port", str(port), "--answers", str(folder / "answers.json")]
    with subprocess.Popen(command) as process:
        try:
            until("the bare application listens", lambda: port_bound(port))
            yield port
        finally:
            process.terminate()


def _round(few: Served, many: Served, bare: int, folder: Path, seconds: float, number: int) -> dict[str, float]:
    look = post_script(folder / "look.lua", json.dumps({"id": ONE}), AUTHORIZATION)
    path = f"{Served.app}:pushes"
    pairs = ["-s", str(PAIRS), "-H", f"Authorization: {AUTHORIZATION}"]
    url = f"http://127.0.0.1:{few.api_port}{Served.app}"
    beside = f"http://127.0.0.1:{bare}{Served.app}"
    bare_per_s = ask(f"{beside}:pushes", seconds, CLIENTS, look)["per_s"]
    one_per_s = ask(f"{url}:pushes", seconds, CLIENTS, look)["per_s"]
    among_many_per_s = ask(f"http://127.0.0.1:{many.api_port}{path}", seconds, CLIENTS, look)["per_s"]
    # What stands behind -- comes to the script: ids of this round.
    bare_paired, paired = (
        ask(f"{those}:startPush", seconds, CLIENTS, pairs, threads=CLIENTS, words=(f"round-{number}",))
        for those in (beside, url)
    )
    return {
        "bare_per_s": bare_per_s,
        "one_per_s": one_per_s,
        "among_many_per_s": among_many_per_s,
        "bare_pairs_per_s": bare_paired["per_s"] / 2,
        "pairs_per_s": paired["per_s"] / 2,
        "list_ms": _list_ms(many),
    }


def _list_ms(many: Served) -> float:
    before = Use.of(many.process.pid)
    for _ in range(LISTS):
        status, answer = many.call("POST", f"{LISTED_PATH}:pushes", {})
        assert (status, len(answer["response"])) == (200, LISTED)
    after = Use.of(many.process.pid)
    main_cores, _ = after.since(before, many.process.pid)
    return main_cores * (after.at_s - before.at_s) / LISTS * 1000


def _lines(runs: list[dict[str, float]], held: dict[str, list[float]]) -> list[Line]:
    def median(above: str, below: str) -> float:
        return statistics.median(run[above] / run[below] for run in runs)

    most_ms = max((ms for each in held.values() for ms in each), default=0.0)
    return [
        Line(":pushes of one id : a bare handler", median("one_per_s", "bare_per_s"), LEAST_LOOKUPS, "", at_least=True),
        Line(
            "pairs : those of a bare handler", median("pairs_per_s", "bare_pairs_per_s"), LEAST_PAIRS, "", at_least=True
        ),
        Line(
            f"a look among {RESERVED} : at the only one",
            median("among_many_per_s", "one_per_s"),
            LEAST_AMONG_MANY,
            "",
            at_least=True,
        ),
        Line(f"a list of {LISTED}", statistics.median(run["list_ms"] for run in runs), LIST_MS, "ms"),
        Line("the event loop held", most_ms, HELD_MS, "ms"),
    ]


if __name__ == "__main__":
    main()
