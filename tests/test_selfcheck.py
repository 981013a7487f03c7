"""SelfCheck: what a feed says of its own transport stream, by the names of TR 101 290."""

from __future__ import annotations

from collections.abc import Callable

import build_ts as ts
import pytest
from build_ts import Clip, Packet
from read_ts import AUDIO, KEY, SLICE, VIDEO, Frame, audio_frames, interleave, lengths, mux, video_frames
from test_verify import flip, remove

from pushcast.cbr import CbrMuxer
from pushcast.ring import Ring
from pushcast.selfcheck import SelfCheck
from pushcast.tsoptions import TsOptions

SECOND_NS = 1_000_000_000
PRIORITIES = {
    *("ts_sync_loss", "pat_error", "continuity_count_error", "pmt_error", "pid_error"),
    *("transport_error", "crc_error", "pcr_repetition_error", "pcr_discontinuity_indicator_error"),
    *("pcr_accuracy_error", "pts_error", "cat_error"),
}


def errors(check: SelfCheck) -> dict[str, float]:
    return {name: count for name, count in check.counts().items() if name in PRIORITIES and count}


def copied(source: Ring, target: Ring, check: SelfCheck, now_ns: int = SECOND_NS) -> None:
    """What one ring holds, into another, and a look every hundred spans."""
    for seq in range(source.head):
        _, _, _, dts, flags, track = source.span(seq)
        target.write(source.read(seq), dts, flags, track)
        if seq % 100 == 99:
            check.look(now_ns + seq * SECOND_NS)
    check.look(now_ns + source.head * SECOND_NS)


def test_every_priority_is_counted() -> None:
    assert set(SelfCheck(Ring()).counts()) > PRIORITIES


@pytest.mark.parametrize(
    "options",
    [
        TsOptions(),
        TsOptions(tables_period_ms=500, pcr_period_ms=100),
        TsOptions(mux_bits_per_s=3_000_001, decode_delay_ms=600),
    ],
)
def test_what_the_muxers_write_is_flawless(options: TsOptions) -> None:
    frames = interleave(video_frames(25, 10), audio_frames(10))
    ring = Ring()
    check = SelfCheck(ring, options.mux_bits_per_s)
    if options.mux_bits_per_s:
        muxer = CbrMuxer(ring, [VIDEO, AUDIO], options)
        for number, frame in enumerate(frames):
            muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
            check.look((1 + number) * SECOND_NS)
    else:
        copied(mux([VIDEO, AUDIO], frames, options=options), ring, check)
    assert errors(check) == {}
    assert check.counts()["packets"] > 1000
    assert check.counts()["longest_pcr_ms"] <= options.pcr_period_ms


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        (flip("video", 12, 0, 0x01), "ts_sync_loss"),
        (remove("video+", 12), "continuity_count_error"),
        (flip("video", 12, 1, 0x80), "transport_error"),
        (flip("pat", 10, 20, 0xFF), "crc_error"),
        (flip("video", 12, 3, 0x80), "cat_error"),
    ],
)
def test_damage_counts_as_what_it_is(damage: Callable[[list[Packet]], None], named: str) -> None:
    packets = Clip().packets()
    damage(packets)
    ring = Ring()
    check = SelfCheck(ring)
    ring.write(ts.join(packets), 0)
    check.look(SECOND_NS)
    assert errors(check) == {named: 1}


def test_tables_that_come_too_seldom() -> None:
    ring = Ring()
    check = SelfCheck(ring)
    copied(mux([VIDEO], video_frames(25, 3), options=TsOptions(tables_period_ms=700)), ring, check)
    assert errors(check).keys() == {"pat_error", "pmt_error"}


def test_clocks_and_stamps_that_come_too_seldom() -> None:
    ring = Ring()
    check = SelfCheck(ring)
    copied(mux([VIDEO], video_frames(8, 3), options=TsOptions(pcr_period_ms=200, tables_period_ms=300)), ring, check)
    assert errors(check).keys() == {"pcr_repetition_error"}
    late = SelfCheck(ring)
    copied(mux([VIDEO], video_frames(1, 5)), ring, late)
    assert errors(late) == {"pts_error": 4}


def test_a_clock_that_is_off_its_place() -> None:
    """Two packets too many in a stream of a constant rate."""
    made, ring = Ring(), Ring()
    muxer = CbrMuxer(made, [VIDEO], TsOptions(mux_bits_per_s=2_000_000))
    for frame in video_frames(25, 2):
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    check = SelfCheck(ring, 2_000_000)
    null = b"\x47\x1f\xff\x10" + b"\xff" * 184
    for seq in range(made.head):
        ring.write(made.read(seq) + (null * 2 if seq == 40 else b""), made.span(seq)[3])
    check.look(SECOND_NS)
    assert errors(check) == {"pcr_accuracy_error": 1}


def test_a_track_that_stops_is_missed_once() -> None:
    ring = Ring()
    check = SelfCheck(ring)
    frames = interleave(video_frames(25, 30), audio_frames(5))
    made = mux([VIDEO, AUDIO], frames)
    for seq in range(made.head):
        _, _, _, dts, flags, track = made.span(seq)
        ring.write(made.read(seq), dts, flags, track)
        check.look(SECOND_NS + dts * 100_000 // 9)
    assert errors(check) == {"pid_error": 1}


def test_a_check_that_was_lapped_begins_anew() -> None:
    ring = Ring(start_bytes=1 << 16, reserve_bytes=1 << 16, spans=64)
    check = SelfCheck(ring)
    made = mux([VIDEO, AUDIO], interleave(video_frames(25, 20), audio_frames(20)))
    for seq in range(made.head):
        _, _, _, dts, flags, track = made.span(seq)
        ring.write(made.read(seq), dts, flags, track)
        if seq % 200 == 199:
            check.look((1 + seq) * SECOND_NS)
    assert errors(check) == {}


def test_looks_are_a_second_apart() -> None:
    ring = Ring()
    check = SelfCheck(ring)
    muxed = mux([VIDEO], [Frame(5, 3600 * n, 3600 * n, KEY * (n == 0), lengths(SLICE)) for n in range(10)])
    for seq in range(10):
        ring.write(muxed.read(seq), 3600 * seq)
        check.look(SECOND_NS + seq)
    seen = check.counts()["packets"]
    check.look(2 * SECOND_NS)
    assert 0 < seen < check.counts()["packets"]
