"""Who runs when: the order of turns, what is run less often than the rest and why, and how long it will take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

ORDER = {
    "rtmp": (
        *("nginx-rtmp", "pushcast-40", "floor-40", "engine-40", "ffmpeg-tee"),
        *("pushcast-200", "floor-200", "engine-200", "ffmpeg-n"),
    ),
    "udp": ("gstreamer", "pushcast-20", "floor-20", "engine-20", "ffmpeg-tee", "ffmpeg-n"),
    "udp-apart": ("gstreamer", "pushcast-20", "floor-20", "ffmpeg-tee"),
    "srt": ("ffmpeg-tee", "pushcast-20", "floor-20", "engine-20", "ffmpeg-n"),
}
# What is on the wire, where a protocol is only a name for the same with other receivers.
WIRES = {"udp-apart": "udp"}
QUICK_DESTINATIONS = (50,)
DESTINATIONS = (1, 50, 100, 200, 400, 1000)
AROUND_S = 2.5  # the sink, 2 s of the right rate, the end
BACKLOG_S = 40.0  # how long a slow starter's backlog is waited for: that of 53 s takes 25 s at three times the rate
START_S = {"pushcast": 1.7, "nginx": 0.6, "engine": 0.6, "floor": 0.0, "gstreamer": 0.0, "ffmpeg": 0.5}


@dataclass(frozen=True, slots=True)
class Limit:
    """At most this many rounds of a participant (by the part of its name before the dash, or its whole name)."""

    protocols: tuple[str, ...]
    participant: str
    least: int  # destinations, both ends included
    most: int
    rounds: int
    why: str

    def holds(self, protocol: str, participant: str, count: int) -> bool:
        named = self.participant in (participant, participant.partition("-")[0])
        return named and protocol in self.protocols and self.least <= count <= self.most


ALL = ("rtmp", "udp", "udp-apart", "srt")
MANY = 10**6
ONLY_MEMORY = "one destination is there for the slope of memory only"
SHOWS_NO_MORE = "shown at 200 and 400"
SLOW = "far from the others at any number"
FOR_COST = "there for the cost of a push at 1000 beside that at 100"
FOR_RECEIVERS = "there for what the receivers change"
LIMITS = (
    *(Limit(ALL, name, 1, 1, 2, ONLY_MEMORY) for name in ("nginx-rtmp", "gstreamer", "ffmpeg-tee", "pushcast")),
    *(Limit(ALL, name, 1, 199, 1, SHOWS_NO_MORE) for name in ("engine", "floor")),
    *(Limit(ALL, name, 1, 1, 0, ONLY_MEMORY) for name in ("engine", "floor")),
    *(Limit(ALL, name, 2, 199, 3, SHOWS_NO_MORE) for name in ("nginx-rtmp", "gstreamer", "ffmpeg-tee")),
    Limit(ALL, "pushcast", 2, 99, 3, SHOWS_NO_MORE),
    *(
        Limit(ALL, name, 100, 100, 0, FOR_COST)
        for name in ("nginx-rtmp", "gstreamer", "ffmpeg-tee", "ffmpeg-n", "engine")
    ),
    Limit(("srt",), "pushcast", 100, 100, 0, FOR_COST),
    Limit(("srt",), "floor", 100, 100, 0, FOR_COST),
    *(
        Limit(("udp-apart",), name, least, most, 0, FOR_RECEIVERS)
        for name in ("gstreamer", "ffmpeg-tee", "pushcast", "floor")
        for least, most in ((1, 199), (401, MANY))
    ),
    Limit(ALL, "ffmpeg-n", 1, 1, 1, ONLY_MEMORY),
    Limit(ALL, "ffmpeg-n", 2, 199, 2, SLOW),
    Limit(ALL, "ffmpeg-n", 200, 399, 1, "14 MiB and a process each, 1.2 cores and more at 200"),
    Limit(ALL, "ffmpeg-n", 400, MANY, 0, "14 MiB and a process each, 1.2 cores and more at 200"),
    Limit(("srt",), "ffmpeg-tee", 400, 999, 1, "802 threads that do not reach full rate on two cores"),
    *(Limit(ALL, name, 1000, MANY, 0, "asked of pushcast only") for name in ("nginx-rtmp", "gstreamer", "ffmpeg-tee")),
    Limit(ALL, "engine", 1000, MANY, 0, "asked of pushcast only"),
    Limit(("srt",), "pushcast", 1000, MANY, 0, "2.8 Gbit/s of SRT take more than two cores"),
    Limit(("srt",), "floor", 1000, MANY, 0, "2.8 Gbit/s of SRT take more than two cores"),
    Limit(("rtmp", "udp"), "floor", 1000, MANY, 3, SHOWS_NO_MORE),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One run to make."""

    protocol: str
    participant: str
    destinations: int
    round: int
    repeat: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    protocols: tuple[str, ...]
    destinations: tuple[int, ...]
    participants: tuple[str, ...]  # empty: all
    rounds: int
    window_s: float

    def takes(self, participant: str) -> bool:
        """Names are those of the table, or their part before the dash that all intervals share."""
        return not self.participants or bool({participant, participant.partition("-")[0]} & {*self.participants})


def wire(protocol: str) -> str:
    """rtmp, udp or srt."""
    return WIRES.get(protocol, protocol)


def turns(wanted: Wanted) -> Iterator[Turn]:
    """Round after round; inside a round those that are compared stand next to each other."""
    for number in range(wanted.rounds):
        for protocol in wanted.protocols:
            for count in wanted.destinations:
                for participant in ORDER[protocol]:
                    if wanted.takes(participant) and number < most_rounds(wanted, protocol, participant, count):
                        yield Turn(protocol, participant, count, number)


def most_rounds(wanted: Wanted, protocol: str, participant: str, count: int) -> int:
    limit = tightest(protocol, participant, count)
    return min(wanted.rounds, limit.rounds) if limit else wanted.rounds


def tightest(protocol: str, participant: str, count: int) -> Limit | None:
    holding = [limit for limit in LIMITS if limit.holds(protocol, participant, count)]
    return min(holding, key=lambda limit: limit.rounds, default=None)


def shortened(wanted: Wanted) -> list[dict[str, Any]]:
    """What runs less often than asked, with the reason; 0 rounds: not at all."""
    found = []
    for protocol in wanted.protocols:
        for participant in filter(wanted.takes, ORDER[protocol]):
            for count in wanted.destinations:
                limit = tightest(protocol, participant, count)
                if limit and limit.rounds < wanted.rounds:
                    row = {"protocol": protocol, "participant": participant, "destinations": count}
                    found.append({**row, "rounds": limit.rounds, "why": limit.why})
    return found


def expected_s(turn: Turn, window_s: float) -> float:
    """From experience on two cores."""
    start_s = START_S[turn.participant.partition("-")[0]]
    if turn.participant == "ffmpeg-tee" and turn.protocol == "rtmp":
        start_s += 0.14 * turn.destinations + min(BACKLOG_S, 0.1 * turn.destinations)
    elif turn.participant == "ffmpeg-tee" and turn.protocol == "srt" and turn.destinations >= 400:
        start_s += BACKLOG_S
    elif turn.participant == "ffmpeg-n":
        start_s += 0.07 * turn.destinations
    elif turn.participant.startswith("pushcast"):
        start_s += 0.002 * turn.destinations
    return AROUND_S + start_s + window_s


def as_options(wanted: Wanted) -> dict[str, Any]:
    return asdict(wanted)
