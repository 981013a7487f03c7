"""CbrMuxer: the place of a packet is its time, to the nanosecond, and nothing of what a stream needs is missing."""

from __future__ import annotations

from itertools import pairwise

import pytest
from read_ts import (
    AUDIO,
    IDR,
    KEY,
    MS,
    NULL_PID,
    PAT_PID,
    PMT_PID,
    SDT_PID,
    SLICE,
    VIDEO,
    Frame,
    Transport,
    audio_frames,
    check_clock_and_tables,
    check_frames,
    interleave,
    key_spans,
    lengths,
    parse,
    shared,
    unwrap,
    video_frames,
)
from ts_clocks import clocks

from pushcast.cbr import CbrMuxer
from pushcast.errors import MediaError
from pushcast.ring import Ring
from pushcast.tsoptions import TsOptions

PACKET_BITS = 188 * 8
CLOCK_HZ = 27_000_000
DELAY_MS = 600
DELAY = DELAY_MS * 90


def options(mux_bits_per_s: int, **more: int) -> TsOptions:
    return TsOptions(mux_bits_per_s=mux_bits_per_s, decode_delay_ms=DELAY_MS, **more)  # type: ignore[arg-type]


def mux(tracks: list, frames: list[Frame], wanted: TsOptions) -> tuple[Ring, CbrMuxer]:
    ring = Ring(reserve_bytes=256 << 20, start_bytes=64 << 20, spans=1 << 14)
    ring.keep(60_000)
    muxer = CbrMuxer(ring, tracks, wanted)
    for frame in frames:
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    assert muxer.malformed == 0
    return ring, muxer


def check_clock(seen: Transport, mux_bits_per_s: int) -> None:
    """Each PCR is that of its place: 13818-1 2.4.2.2 allows 500 ns."""
    pcrs = unwrap((pcr for _, pcr in seen.pcrs), 300 << 33)
    first, begin = seen.pcrs[0][0], pcrs[0]
    for (at, _), pcr in zip(seen.pcrs, pcrs, strict=True):
        by_place = (at - first) * PACKET_BITS * CLOCK_HZ / mux_bits_per_s
        assert abs(pcr - begin - by_place) <= 1.5, "27 MHz units of 37 ns"


def check_tables(seen: Transport, mux_bits_per_s: int, tables_ms: float) -> None:
    for pid in (PAT_PID, PMT_PID):
        apart = [later - earlier for (earlier, _), (later, _) in pairwise(seen.sections[pid])]
        assert max(apart) * PACKET_BITS * 1000 / mux_bits_per_s <= tables_ms


def leaves_at(seen: Transport, packet: int, mux_bits_per_s: int) -> float:
    """27 MHz, of the last byte of a packet."""
    return seen.pcrs[0][1] + (packet + 1 - seen.pcrs[0][0]) * PACKET_BITS * CLOCK_HZ / mux_bits_per_s


@pytest.mark.parametrize("mux_bits_per_s", [250_000, 999_983, 2_000_000, 5_000_000, 20_000_000, 100_000_001])
def test_rate_clock_tables_and_frames(mux_bits_per_s: int) -> None:
    frames = interleave(video_frames(25, 6, 90_000), audio_frames(6, 90_100))
    if mux_bits_per_s < 500_000:
        frames = video_frames(25, 6, 90_000)
    tracks = [VIDEO, AUDIO] if mux_bits_per_s >= 500_000 else [VIDEO]
    ring, muxer = mux(tracks, frames, options(mux_bits_per_s))
    seen = parse(shared(ring))
    check_clock_and_tables(seen, pcr_ms=35, tables_ms=135)  # it goes by the PCR before a table
    check_clock(seen, mux_bits_per_s)
    check_tables(seen, mux_bits_per_s, 100)
    check_frames(seen, tracks, frames, DELAY)
    seconds = (frames[-1].dts - frames[0].dts) / 90_000
    assert seen.packets * PACKET_BITS / mux_bits_per_s == pytest.approx(seconds, abs=0.05)
    assert muxer.null_packets == seen.pids.count(NULL_PID) > 0
    assert muxer.late == 0
    for pes, frame in zip(seen.pes, frames, strict=True):
        assert leaves_at(seen, pes.last_packet, mux_bits_per_s) <= 300 * (frame.dts + DELAY)
        assert pes.pcr >= 300 * frame.dts - 35 * MS, "nothing leaves before it was there"


def test_a_large_keyframe_is_interrupted_for_clock_and_tables() -> None:
    """300 kB at 5 Mbit/s take 480 ms."""
    big = lengths(b"\x65\x88" + bytes(range(1, 251)) * 1200)
    frames = [Frame(5, 90_000 + 3600 * n, 90_000 + 3600 * n, KEY * (n == 10), lengths(SLICE)) for n in range(60)]
    frames[0] = Frame(5, 90_000, 90_000, KEY, lengths(IDR))
    frames[10] = Frame(5, frames[10].dts, frames[10].dts, KEY, big)
    both = interleave(frames, audio_frames(2.4, 90_100))
    ring, muxer = mux([VIDEO, AUDIO], both, options(5_000_000))
    seen = parse(shared(ring))
    check_clock_and_tables(seen, pcr_ms=35, tables_ms=135)
    check_clock(seen, 5_000_000)
    check_tables(seen, 5_000_000, 100)
    check_frames(seen, [VIDEO, AUDIO], both, DELAY)
    assert muxer.late == 0


def test_key_spans_begin_with_all_that_a_decoder_needs() -> None:
    ring, _ = mux([VIDEO, AUDIO], interleave(video_frames(25, 3), audio_frames(3)), options(3_000_000))
    keys = key_spans(ring)
    assert len(keys) == 3
    for seq in keys:
        seen = parse(ring.read_lead(seq) + ring.read(seq))
        assert seen.continuity_errors == 0
        pids = parse(ring.read(seq)).pids
        assert pids[:2] == [PAT_PID, PMT_PID]
        assert pids[2] == pids[3] == 0x100
        lead = ring.read_lead(seq)
        assert len(lead) == 5 * 188


@pytest.mark.parametrize(
    ("more", "pcr_ms", "tables_ms"),
    [
        ({"pcr_period_ms": 20}, 20, 100),
        ({"pcr_period_ms": 100, "tables_period_ms": 500}, 100, 500),
        ({"tables_period_ms": 50}, 35, 50),
        ({"sdt_period_ms": 250}, 35, 100),
    ],
)
def test_periods(more: dict[str, int], pcr_ms: int, tables_ms: int) -> None:
    ring, _ = mux([VIDEO], video_frames(25, 5), options(2_000_000, **more))
    seen = parse(shared(ring))
    check_clock_and_tables(seen, pcr_ms=pcr_ms, tables_ms=tables_ms + pcr_ms)
    check_tables(seen, 2_000_000, tables_ms)
    steps = [later - earlier for earlier, later in pairwise(pcr for _, pcr in seen.pcrs)]
    assert sorted(steps)[len(steps) // 2] > (pcr_ms - 3) * MS, "and no more often than asked"
    apart = [later - earlier for (earlier, _), (later, _) in pairwise(seen.sections[SDT_PID])]
    assert min(apart) * PACKET_BITS / 2_000_000 >= more.get("sdt_period_ms", 1000) / 1000 - 0.01


def test_a_rate_that_is_too_low_says_so() -> None:
    frames = [Frame(5, n * 3600, n * 3600, KEY * (n == 0), lengths(IDR * 10)) for n in range(200)]
    with pytest.raises(
        MediaError, match=r"^a muxrate of 1000000 bit/s is too low: frames leave 1\d\d\d ms after .* has 1\d{6} bit/s"
    ):
        mux([VIDEO], frames, options(1_000_000))


def test_what_is_late_is_counted() -> None:
    frames = video_frames(25, 2)
    frames[25] = Frame(5, frames[25].dts, frames[25].dts, KEY, lengths(b"\x65" + b"\xaa" * 150_000))
    _, muxer = mux([VIDEO], frames, options(1_000_000))
    assert 1 <= muxer.late < 25


@pytest.mark.parametrize(("gap_s", "jumps"), [(1.2, 0), (3.0, 1)])
def test_a_gap_is_filled_or_passed_at_once(gap_s: float, jumps: int) -> None:
    frames = video_frames(25, 1) + video_frames(25, 1, round((1 + gap_s) * 90_000))
    ring, _ = mux([VIDEO], frames, options(2_000_000))
    data = shared(ring)
    seen = parse(data)
    assert seen.continuity_errors == 0
    marked = sum(data[at + 3] & 0x20 and data[at + 4] and data[at + 5] & 0x80 != 0 for at in range(0, len(data), 188))
    assert marked == jumps
    steps = [later - earlier for earlier, later in pairwise(pcr for _, pcr in seen.pcrs)]
    assert sum(step > 35 * MS for step in steps) == jumps


def test_a_clock_of_hours_is_exact() -> None:
    """A rate that divides nothing, and three hours of it: the rests do not add up."""
    rate = 299_993
    ring = Ring()
    muxer = CbrMuxer(ring, [VIDEO], options(rate, pcr_period_ms=100, tables_period_ms=500))
    packets = seq = 0
    found: list[tuple[int, int]] = []
    for second in range(3 * 3600):
        dts = second * 90_000
        muxer.write_frame(5, dts, dts, KEY * (second == 0), lengths(SLICE if second else IDR))
        while seq < ring.head:
            if second % 3000 == 0:
                found += [(packets + at, pcr) for at, pcr in clocks(ring.read(seq))]
            packets += ring.span(seq)[1] // 188
            seq += 1
    (first, begin), (last, end) = found[0], found[-1]
    assert last - first > 8990 * rate / PACKET_BITS
    assert abs(end - begin - (last - first) * PACKET_BITS * CLOCK_HZ / rate) <= 1.5
