"""One trouble: a network and a server of its own, from the stream's first frame to its last one.

All pushes are there before the stream and begin with its first keyframe, and all of them end with it.  So what a
receiver behind a path lacks is what one beside the server got more, to the byte, whatever happened in between.
"""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from adversity.sinks import Sink

from bench.clip import clip_path
from bench.marks import between, until_media
from bench.peers.sinks import Sink as Discard
from bench.peers.sinks import sink as discard
from bench.reliability import watch
from bench.reliability.network import network
from bench.reliability.receivers import KEY, PORTS, SINKS, Received, receivers
from bench.reliability.troubles import Scene, Trouble
from bench.reliability.watch import Sample
from bench.served import QUIET, WORDS, Served, serving, until

PROTOCOLS = tuple(PORTS)
# Whose bytes are the same: of a stream all RTMP pushes get one feed, and all of MPEG-TS another one.
REFERENCES = {name: "rtmp" if kind == "rtmp" else "udp" for name, kind in SINKS.items()}
FRAMES_PER_S = 50  # there is something for every tick: see bench/siege.py
SETTLE_S = 2.0
LOOK_S = 0.05
DEADLINE_S = 30.0


def measure(trouble: Trouble, others: int) -> dict[str, Any]:
    """What became of the pushes over the paths, by protocol, and of so many others."""
    with _pushing(trouble, others) as (served, scene, references, discards):
        observer = Observer(served, scene)
        observer.look_for(SETTLE_S)
        observer.forget()  # pushes begin with what the stream had before they were accepted, faster than it comes
        observer.look_for(SETTLE_S)
        scene.bytes_per_s = observer.bytes_per_s()
        before = {name: each.mark() for name, each in discards.items()}
        begin_s, end_s = observer.pass_through(trouble)
        observer.look_until_ok(end_s + trouble.ok_s, end_s)
        after = {name: each.mark() for name, each in discards.items()}
        _end_stream(served)
        expected = {name: Received.of(each.stop()["senders"]) for name, each in references.items()}
        received = {name: _at_rest(receiver.received) for name, receiver in scene.receivers.items()}
    return {
        "trouble": trouble.name,
        "bytes_per_s": round(scene.bytes_per_s),
        "pushes": {
            name: {
                **_told(observer.samples[name], begin_s, end_s),
                **_lost(expected[REFERENCES[name]], received[name]),
            }
            for name in PROTOCOLS
        },
        "others": {name: between(before[name], after[name]) for name in discards},
    }


class Observer:
    """Looks at the pushes over the paths and at their receivers, all together."""

    def __init__(self, served: Served, scene: Scene) -> None:
        self.samples: dict[str, list[Sample]] = {name: [] for name in scene.receivers}
        self._served = served
        self._scene = scene

    def look(self) -> None:
        asked = {"ids": list(self.samples), "details": True}
        with ThreadPoolExecutor(len(self.samples)) as asking:
            received = asking.map(lambda receiver: receiver.received(), self._scene.receivers.values())
            at_s = time.monotonic()
            _, answer = self._served.call("POST", f"{Served.app}:pushes", asked)
            pushes = {push["id"]: push for push in answer["response"]}
            for name, got in zip(self._scene.receivers, received, strict=True):
                self.samples[name].append(Sample.of(at_s, pushes[name], got.media_bytes))

    def look_for(self, seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self.look()
            time.sleep(LOOK_S)

    def forget(self) -> None:
        for looks in self.samples.values():
            looks.clear()

    def bytes_per_s(self) -> float:
        """Of media, which all receivers had until now."""
        rates = [
            (looks[-1].media_bytes - looks[0].media_bytes) / (looks[-1].at_s - looks[0].at_s)
            for looks in self.samples.values()
        ]
        return sum(rates) / len(rates)

    def pass_through(self, trouble: Trouble) -> tuple[float, float]:
        """(beginning, end) of the trouble."""
        begin_s = time.monotonic()
        for step in trouble.steps:
            self.look_for(begin_s + step.at_s - time.monotonic())
            step.do(self._scene)
        return begin_s, time.monotonic()

    def look_until_ok(self, deadline_s: float, end_s: float) -> None:
        """Until all have healed, and are ok, for longer than two looks of the server."""
        while time.monotonic() < deadline_s:
            self.look()
            since_s = [
                found
                for looks in self.samples.values()
                for found in (watch.healed_s(looks, end_s), watch.ok_s(looks, end_s))
            ]
            if all(found is not None and time.monotonic() - end_s - found > 3 for found in since_s):
                return
            time.sleep(LOOK_S)


@contextmanager
def _pushing(trouble: Trouble, others: int) -> Iterator[tuple[Served, Scene, dict[str, Sink], dict[str, Discard]]]:
    """A server whose pushes all have media; what they go to."""
    clip = clip_path(frames_per_s=FRAMES_PER_S)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        paths = running.enter_context(network(PROTOCOLS))
        scene = Scene(paths, running.enter_context(receivers(paths, folder)))
        references = {name: Sink(name) for name in set(REFERENCES.values())}
        for each in references.values():
            running.callback(each.kill)
        counts = {name: len(range(number, others, len(WORDS))) for number, name in enumerate(WORDS)}
        discards = {name: running.enter_context(discard(name, count, plain=False)) for name, count in counts.items()}
        served = running.enter_context(serving(folder, extra=QUIET, sources=f'[pull]\nfiles_below = "{clip.parent}"\n'))
        pushes = [
            *({"id": name, **each.push(trouble.round_trip_ms)} for name, each in scene.receivers.items()),
            *(_beside(f"reference-{name}", name, each.port) for name, each in references.items()),
            *(
                _beside(f"{name}-{number}", name, each.ports[number % len(each.ports)])
                for name, each in discards.items()
                for number in range(counts[name])
            ),
        ]
        _start(served, pushes)
        status, answer = served.call(
            "POST", f"{Served.app}/streams", {"name": "live", "urls": [f"{clip.as_uri()}?loop=1"]}
        )
        assert status == 201, answer
        until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))
        for name, each in discards.items():
            until_media(each, counts[name], DEADLINE_S)
        yield served, scene, references, discards


def _beside(push_id: str, protocol: str, port: int) -> dict[str, Any]:
    """A push to a receiver on this host."""
    push = {"id": push_id, "protocol": WORDS[protocol], "url": f"{protocol}://127.0.0.1:{port}"}
    return push | {"url": f"{push['url']}/in", "streamKey": f"{KEY}-{push_id}"} if protocol == "rtmp" else push


def _start(served: Served, pushes: Sequence[dict[str, Any]]) -> None:
    asked = [{"stream": {"name": "live"}, **push} for push in pushes]
    status, answer = served.call("POST", f"{Served.app}:startPushes", {"pushes": asked})
    assert status == 207, answer
    assert all(each["statusCode"] == 200 for each in answer["response"]), answer


def _end_stream(served: Served) -> None:
    """Until every push that can has sent all that there was."""
    status, answer = served.call("DELETE", f"{Served.app}/streams/live")
    assert status == 200, answer
    until("all wait for a stream", lambda: all(push["state"] == "ready" for push in served.pushes()))


def _at_rest(received: Callable[[], Received]) -> Received:
    """What has come when nothing more comes."""
    before, found = None, received()
    while found != before:
        time.sleep(0.5)
        before, found = found, received()
    return found


def _told(samples: Sequence[Sample], begin_s: float, end_s: float) -> dict[str, Any]:
    first = watch.told(samples, begin_s)
    return {
        "told_s": None if first is None else _rounded(first.at_s - begin_s),
        "told": "" if first is None else first.health if first.state == "pushing" else first.state,
        "reason": "" if first is None else first.reason,
        "healed_s": _rounded(watch.healed_s(samples, end_s)),
        "ok_s": _rounded(watch.ok_s(samples, end_s)),
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def _lost(expected: Received, received: Received) -> dict[str, Any]:
    """A host that comes back to a running GOP gets no more of it than it lacks: it was away for longer than a GOP."""
    return {
        "lost_bytes": expected.media_bytes - received.media_bytes,
        "lost_frames": expected.video_frames - received.video_frames,
        "expected_bytes": expected.media_bytes,
        "received": dataclasses.asdict(received),
    }
