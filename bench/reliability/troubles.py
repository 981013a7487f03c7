"""The troubles: what is done to the paths when, and what must be said of it and be mended in which time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from bench.reliability.network import GOOD, Network, Passage
from bench.reliability.receivers import Receiver

CUT = replace(GOOD, cut=True)
# What a middlebox that has forgotten a connection says, and a host on which nobody listens.
RESET = ("ip protocol tcp reject with tcp reset", "ip protocol udp reject with icmp port-unreachable")

# A push is looked at once a second and `stalled` after two seconds without a confirmation: three, and one to spare.
STALLED_TOLD_S = 4.0
# What is lost is counted from one look to the next, and whether it is much is chance: within the trouble.
LOSS_S, LOSS_TOLD_S = 15.0, 16.0
# A fifth is missing: five seconds for each second that it falls behind, of which half a second may lie unsent in TCP's
# buffer and one is allowed before it says so.
RATE_S, RATE_PERCENT, RATE_TOLD_S = 40.0, 80, 15.0
# What it fell behind is sent at up to four times the rate, or skipped up to a keyframe.
CATCH_UP_S = 10.0
# The longest wait between two attempts, an attempt that began before the end and runs into its own deadline, and the
# connect.
RETRY_S = 30.0 + 5.0 + 2.0
# What was lost shows for 30 s, and is looked at once a second.
SHOWS_S = 32.0


@dataclass
class Scene:
    """What a trouble is done to; ``bytes_per_s`` is what each push sends."""

    network: Network
    receivers: dict[str, Receiver]
    bytes_per_s: float = 0.0

    def each(self, do: Callable[[Receiver], None]) -> None:
        for receiver in self.receivers.values():
            do(receiver)


@dataclass(frozen=True, slots=True)
class Step:
    """Done ``at_s`` seconds after the beginning of the trouble."""

    at_s: float
    do: Callable[[Scene], None]


@dataclass(frozen=True, slots=True)
class Trouble:
    """It begins with its first step and ends with its last one.

    ``told_s`` from its beginning, ``healed_s`` from its end: what is allowed.  ``round_trip_ms`` is that of the path
    meanwhile.
    """

    name: str
    steps: tuple[Step, ...]
    told_s: float
    healed_s: float
    round_trip_ms: float = 2 * GOOD.delay_ms

    @property
    def ok_s(self) -> float:
        return self.healed_s + SHOWS_S


def _loss(percent: int) -> Trouble:
    rule = f"numgen random mod 100 < {percent} drop"
    steps = (Step(0, lambda scene: scene.network.rules([rule])), Step(LOSS_S, lambda scene: scene.network.rules([])))
    return Trouble(f"{percent} % loss", steps, LOSS_TOLD_S, CATCH_UP_S)


def _passage(name: str, lasts_s: float, passage: Passage, told_s: float, healed_s: float) -> Trouble:
    steps = (
        Step(0, lambda scene: scene.network.pass_as(passage)),
        Step(lasts_s, lambda scene: scene.network.pass_as(GOOD)),
    )
    return Trouble(name, steps, told_s, healed_s, 2 * passage.delay_ms)


def _limit(scene: Scene) -> None:
    scene.network.limit(scene.bytes_per_s * RATE_PERCENT / 100)


def _refuse(scene: Scene) -> None:
    scene.network.rules(RESET)


def _come_back(scene: Scene) -> None:
    scene.each(Receiver.begin)
    scene.network.rules([])


def _come_back_anew(scene: Scene) -> None:
    scene.each(Receiver.begin_anew)
    scene.network.pass_as(GOOD)


TROUBLES = (
    Trouble("nothing", (Step(0, lambda scene: None), Step(5, lambda scene: None)), 0.0, 1.0),
    _loss(1),
    _loss(5),
    _loss(10),
    _passage("50 ± 20 ms delay", LOSS_S, Passage(delay_ms=50, jitter_ms=20), LOSS_TOLD_S, CATCH_UP_S),
    _passage("2 % reordered", LOSS_S, replace(GOOD, held_permille=20, held_ms=30), LOSS_TOLD_S, CATCH_UP_S),
    _passage("a cut of 5 s", 5, CUT, STALLED_TOLD_S, CATCH_UP_S),
    _passage("a cut of 60 s", 60, CUT, STALLED_TOLD_S, RETRY_S),
    Trouble(
        "80 % of the rate",
        (Step(0, _limit), Step(RATE_S, lambda scene: scene.network.unlimit())),
        RATE_TOLD_S,
        CATCH_UP_S,
    ),
    Trouble(
        "a reset",
        (Step(0, _refuse), Step(0.3, lambda scene: scene.each(Receiver.leave)), Step(1.5, _come_back)),
        STALLED_TOLD_S,
        CATCH_UP_S,
    ),
    Trouble(
        "a host that vanishes",
        (
            Step(0, lambda scene: scene.network.pass_as(CUT)),
            Step(1, lambda scene: scene.each(Receiver.vanish)),
            Step(20, _come_back_anew),
        ),
        STALLED_TOLD_S,
        RETRY_S,
    ),
)
