"""What the API answers in a second beside hundreds of running pushes and beside one, and what that does to them."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.clip import live_source
from bench.marks import between
from bench.peers.sinks import sink
from bench.request import AUTHORIZATION
from bench.served import QUIET, Served, Strangers, Use, serving, until
from bench.wrk import ask, post_script

CONNECTIONS = 16
SETTLE_S = 3.0
STOPPED_S = 10.0
STREAMS_PATH = "/v1/vhosts/default/apps/app/streams"
ENDPOINTS = {"POST :pushes of one id": f"{Served.app}:pushes", "GET streams": STREAMS_PATH}
PUSH_ID = "push-0"


def measure(count: int, seconds: float, rounds: int) -> Iterator[dict[str, Any]]:
    """A run for each round: the API with one push, then with ``count`` RTMP pushes, each endpoint for ``seconds``.

    ``ratio`` is busy to idle, ``received`` what the receivers saw while the API was busy.
    """
    source = QUIET + live_source()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        receiver = running.enter_context(sink("rtmp", count, plain=False))
        (port,) = receiver.ports
        served = running.enter_context(serving(folder, sources=source))
        served.until_stream()
        script = folder / "post.lua"
        _grow(served, port, 1)
        for _ in range(rounds):
            time.sleep(SETTLE_S)
            strangers = Strangers(served.process.pid, receiver.pid)
            idle = _ask_all(served, script, seconds)
            idle_strangers = strangers.cores()
            _grow(served, port, count)
            time.sleep(SETTLE_S)
            strangers = Strangers(served.process.pid, receiver.pid)
            before, quiet = Use.of(served.process.pid), receiver.mark()
            busy = _ask_all(served, script, seconds)
            after, loud = Use.of(served.process.pid), receiver.mark()
            busy_strangers = strangers.cores()
            _shrink(served)
            main_cores, other_cores = after.since(before, served.process.pid)
            yield {
                "pushes": count,
                "idle": idle,
                "busy": busy,
                "ratio": {name: busy[name]["per_s"] / idle[name]["per_s"] for name in ENDPOINTS},
                "main_thread_cores": main_cores,
                "other_threads_cores": other_cores,
                "strangers_cores": {"idle": idle_strangers, "busy": busy_strangers},
                # Those of this round: the last to come.
                "received": between(quiet, loud, slice(1 - count, None)),
            }


def _grow(served: Served, port: int, count: int) -> None:
    for number in range(len(served.pushes()), count):
        served.start(f"push-{number}", "rtmp", f"rtmp://127.0.0.1:{port}/in", f"key-{number}")
    until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))


def _shrink(served: Served) -> None:
    """Stop all but the first push, and wait until their farewells are over."""
    for push in served.pushes():
        if push["id"] != PUSH_ID:
            served.stop(push["id"])
    descriptors = Path(f"/proc/{served.process.pid}/fd")
    until("stopped", lambda: len(list(descriptors.iterdir())) < 64, STOPPED_S)


def _ask_all(served: Served, script: Path, seconds: float) -> dict[str, dict[str, float]]:
    post = post_script(script, json.dumps({"id": PUSH_ID}), AUTHORIZATION)
    return {
        name: ask(
            f"http://127.0.0.1:{served.api_port}{path}",
            seconds,
            CONNECTIONS,
            post if name.startswith("POST") else ["-H", f"Authorization: {AUTHORIZATION}"],
        )
        for name, path in ENDPOINTS.items()
    }
