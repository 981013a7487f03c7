"""What the bench knows of a participant: how to run it against N destinations, and what to look at meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MOST_LINES = 3
READY_S = 30.0
START_LIMIT_S = 20.0


@dataclass(frozen=True)
class Job:
    """N destinations at the sink's ports, in turn; ``lasts_s`` is an upper bound of the time from start to end."""

    protocol: str
    count: int
    ports: list[int]
    folder: Path
    lasts_s: float

    def port(self, index: int) -> int:
        return self.ports[index % len(self.ports)]


@dataclass
class Running:
    """A participant at work."""

    roots: list[int]  # of the process trees that are the participant
    start_from: str  # what the start is counted from
    request_ns: int  # when that was, on CLOCK_MONOTONIC
    publishers: list[int] = field(default_factory=list)
    complaints: Callable[[], list[str]] = list  # what the participant itself says went wrong


class Participant(ABC):
    """One column of the comparison.  ``muxer`` names whose container bytes arrive, for the rate to expect."""

    name: str
    protocols: tuple[str, ...]
    muxer = "own"
    interval_ms: int | None = None
    plain = False  # RTMP bytes without handshake

    def start_limit_s(self, protocol: str, count: int) -> float:
        """How long to wait for the last destination's first byte."""
        return START_LIMIT_S

    @abstractmethod
    def running(self, job: Job) -> contextlib.AbstractContextManager[Running]:
        """Start it; all its processes are gone when the block ends."""


@contextmanager
def processes(commands: list[list[str]], folder: Path, name: str) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Run commands, each the leader of a group of processes, output to <name>.log.

    At the end the groups are killed: nothing that they would still say is wanted, and a killed master of nginx leaves
    its worker behind.
    """
    children: list[subprocess.Popen[bytes]] = []
    with (folder / f"{name}.log").open("ab") as log:
        try:
            for command in commands:
                children.append(
                    subprocess.Popen(
                        command,
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=log,
                        cwd=folder,
                        start_new_session=True,
                    )
                )
            yield children
        finally:
            for child in children:
                with contextlib.suppress(ProcessLookupError):  # a whole group that ended by itself
                    os.killpg(child.pid, signal.SIGKILL)
            for child in children:
                child.wait()


def ended(children: list[subprocess.Popen[bytes]]) -> list[str]:
    """A complaint when processes are gone that should be at work."""
    codes = [child.poll() for child in children if child.poll() is not None]
    return [f"{len(codes)} of {len(children)} processes ended ({sorted(set(map(str, codes)))})"] if codes else []


def lines(log: Path) -> list[str]:
    """A complaint when something was logged: how much, and how it begins."""
    said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return [f"{len(said)} lines logged: " + " / ".join(line[:160] for line in said[:MOST_LINES])] if said else []


def wait_until(what: str, condition: Callable[[], object]) -> None:
    """Ask every 20 ms; TimeoutError after READY_S."""
    end = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {READY_S:g} s")
        time.sleep(0.02)
