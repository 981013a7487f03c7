"""TimeBase: an encoder's clock that begins anew on the way is closed without a step, and nothing else is."""

from __future__ import annotations

import itertools

import build_ts
import pytest
from build_ts import AUDIO, PAT, PMT, VIDEO, Muxer, join, of, pat, pes
from test_tsinput import Clip
from ts_frames import splice_insert

from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput

MS = 90
FRAME = 3600
BREAK = 12  # the frame that the new time base begins with
FRAMES = 24
SOUND_LAG = 300 * MS  # behind its picture in the stream, as encoders with large buffers have it
DISCONTINUITY = 4
SPLICE = 0x200


class Programme:
    """A picture and a PES packet of sound for each 40 ms; from frame BREAK on its clocks are others."""

    def __init__(self, stamps_ms: int, pcr_ms: int, *, said: bool, start: int = 900_000, wait_ms: int = 0) -> None:
        self.stamps, self.pcr, self.said, self.start, self.wait_ms = stamps_ms * MS, pcr_ms * MS, said, start, wait_ms

    def packets(self) -> list[build_ts.Packet]:
        m, clip = Muxer(), Clip()
        body = (0xE000 | VIDEO).to_bytes(2) + b"\xf0\x06\x05\x04CUEI"
        for pid, stream_type in ((VIDEO, 0x1B), (AUDIO, 0x0F)):
            body += bytes((stream_type,)) + (0xE000 | pid).to_bytes(2) + b"\xf0\0"
        body += b"\x86" + (0xE000 | SPLICE).to_bytes(2) + b"\xf0\x06\x05\x04CUEI"
        m.table("pat", 0, PAT, pat())
        m.table("pmt", 0, PMT, build_ts.section(2, 5, body))
        for number in range(FRAMES):
            anew = number >= BREAK
            at = self.start + number * FRAME + (self.wait_ms * MS if anew else 0)
            dts = at + (self.stamps if anew else 0)
            pcr = (at - 18_000 + (self.pcr if anew else 0)) % (1 << 33) * 300
            flags = 0x80 if self.said and number == BREAK else 0
            picture = clip.access_unit(number, number % 10 == 0)
            m.add("video", number, VIDEO, pes(0xE3, dts + FRAME, dts, picture, declared=False), flags, pcr)
            if number == BREAK + 2:
                m.table("splice", number, SPLICE, splice_insert(77, dts + 90_000))
            sound = build_ts.SOUND * 2
            m.add("audio", number, AUDIO, pes(0xC1, dts - SOUND_LAG, dts - SOUND_LAG, sound, declared=True))
        packets = m.packets
        # What began before the clock ends behind it.
        tail = of(packets, "audio", BREAK - 1) + 1
        first = of(packets, "video", BREAK)
        return [*packets[:tail], packets[first], *packets[tail:first], *packets[first + 1 :]]

    def play(self) -> TsInput:
        """As it comes, by an engine clock that moves 40 ms from frame to frame."""
        clock = Clock()
        taken = TsInput(Source(clock))
        for number, packets in itertools.groupby(self.packets(), lambda packet: packet.frame):
            taken.take(join(list(packets)))
            clock.advance(40 + (self.wait_ms if number == BREAK - 1 else 0))
            if taken.ready and not taken.frozen:
                taken.freeze()
        taken.flush()
        assert taken.frozen
        assert (taken.continuity_errors, taken.damaged) == (0, 0)
        return taken


def steps_of(taken: TsInput, track: int) -> tuple[list[int], list[int]]:
    """Of pictures, or of the first sound in each PES packet: DTS against what 25 a second would make it, and flags."""
    found = [frame for frame in taken.source.recent() if frame[0] == track and not frame[3] & 2]
    found = found if track == 0 else found[::2]
    assert len(found) == FRAMES
    return [dts - number * FRAME for number, (_, dts, *_) in enumerate(found)], [flags for *_, flags, _ in found]


JUMPS_MS = [-3_600_000, -4000, -2500, -700, -41, 400, 2500, 9000, 86_400_000]


@pytest.mark.parametrize("start", [900_000, (1 << 33) - BREAK * FRAME], ids=["", "wrap"])
@pytest.mark.parametrize(
    ("jump_ms", "said"),
    [(each, True) for each in JUMPS_MS] + [(each, False) for each in JUMPS_MS if each <= -700],
)
def test_a_new_time_base_makes_no_step(jump_ms: int, said: bool, start: int) -> None:
    taken = Programme(jump_ms, jump_ms, said=said, start=start).play()
    pictures, flags = steps_of(taken, 0)
    sounds, sound_flags = steps_of(taken, 1)
    for off in (pictures, sounds):
        assert set(off[:BREAK]) == {off[0]}
        assert set(off[BREAK:]) == {off[BREAK]}
        assert abs(off[BREAK] - off[0]) <= MS
    assert pictures[BREAK] - sounds[BREAK] == pictures[0] - sounds[0] == SOUND_LAG
    marked = [number for number, each in enumerate(zip(flags, sound_flags, strict=True)) if sum(each) & DISCONTINUITY]
    assert marked == [BREAK]
    assert taken.time.shift % MS == 0


@pytest.mark.parametrize("jump_ms", [-200, 400, 2500])
def test_what_nobody_said_passes(jump_ms: int) -> None:
    """It may be a loss; and a clock that is a little back came late."""
    assert Programme(jump_ms, jump_ms, said=False).play().time.shift == 0


@pytest.mark.parametrize(
    ("stamps_ms", "pcr_ms", "wait_ms"),
    [
        (0, 0, 0),
        (0, 0, 5000),
        (60, 60, 0),
        (-1, -1, 0),
        (-2500, -2500, 5000),
        (0, -2500, 0),
        (0, 2500, 0),
        (0, 2500, 5000),
    ],
    ids=[
        "nothing",
        "a pause",
        "jitter",
        "jitter back",
        "less than a pause",
        "the clock alone, back",
        "the clock alone, ahead",
        "and a pause",
    ],
)
def test_stamps_that_did_not_move_pass_as_they_are(stamps_ms: int, pcr_ms: int, wait_ms: int) -> None:
    taken = Programme(stamps_ms, pcr_ms, said=True, wait_ms=wait_ms).play()
    assert taken.time.shift == 0
    for track in (0, 1):
        off, flags = steps_of(taken, track)
        assert off[BREAK] - off[0] == (stamps_ms + wait_ms) * MS
        assert not any(each & DISCONTINUITY for each in flags)


@pytest.mark.parametrize("jump_ms", [-7500, 2500])
def test_a_pause_before_a_new_time_base_remains(jump_ms: int) -> None:
    taken = Programme(jump_ms, jump_ms, said=True, wait_ms=5000).play()
    for track in (0, 1):
        off, _ = steps_of(taken, track)
        assert off[BREAK] - off[0] == pytest.approx(5000 * MS, abs=2 * MS)


def test_a_splice_keeps_its_distance_to_the_pictures() -> None:
    """SCTE 35 9.6: its times are those of the new time base too."""
    taken = Programme(-2500, -2500, said=True).play()
    ((pts, section),) = [(pts, data) for track, _, pts, _, data in taken.source.recent() if track == 2]
    adjustment = int.from_bytes(section[4:9]) & (1 << 33) - 1
    splice_time = int.from_bytes(section[20:25]) & (1 << 33) - 1
    picture = next(dts for number, (track, dts, *_) in enumerate(pictures_of(taken)) if number == BREAK + 2)
    assert (splice_time + adjustment + pts - picture) % (1 << 33) == 90_000


def pictures_of(taken: TsInput) -> list[tuple[int, int, int, int, bytes]]:
    return [frame for frame in taken.source.recent() if frame[0] == 0 and not frame[3] & 2]
