"""TsInput: what TsMuxer wrote comes back, from a stream cut anywhere; what others write, lose and change."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import build_ts
import pytest
from build_ts import PAT, PMT, Muxer, join, of, pat, pes, pmt
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from read_ts import AUDIO, AVC_PPS, AVC_SPS, HEVC_SETS, KEY, VIDEO, Frame, annexb, interleave, mux, parse, shared
from ts_frames import KINDS, PRIVATE_CONFIG, SPLICE_CONFIG, splice_insert

from pushcast.errors import MediaError
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.psi import ElementaryStream, read_pmt
from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput

START = 900_000


class Clip(build_ts.Clip):
    """With parameter sets that a decoder could be made of."""

    def access_unit(self, frame: int, key: bool) -> bytes:
        h264 = self.video_type == 0x1B
        sets = annexb([AVC_SPS, AVC_PPS] if h264 else HEVC_SETS)
        delimiter, idr, other = (
            (b"\x09\x10", b"\x65\xb8", b"\x41\x9a") if h264 else (b"\x46\x01\x50", b"\x26\x01", b"\x02\x01")
        )
        body = bytes(i * 7 + frame & 0x7F | 0x80 for i in range(700))
        return annexb([delimiter]) + (sets if key else b"") + annexb([(idr if key else other) + body])


def receive(data: bytes, step: int = 1316, program: int = 0) -> TsInput:
    """Everything, in portions; announced as soon as it may be."""
    taken = TsInput(Source(Clock()), program)
    for at in range(0, len(data), step):
        taken.take(data[at : at + step])
        if taken.ready and not taken.frozen:
            taken.freeze()
    taken.flush()
    return taken


def frames_of(taken: TsInput, track: int) -> list[tuple[int, int, bytes]]:
    """(dts, pts, data) of one track, the first dts of all being 0."""
    found = [frame for frame in taken.source.recent() if not frame[3] & 2]
    zero = found[0][1] if found else 0
    return [(dts - zero, pts - zero, data) for number, dts, pts, _, data in found if number == track]


def clip_of(kind: str) -> tuple[list[Track], list[Frame]]:
    """A track beside a video, which data need for their times."""
    own = KINDS[kind]
    frames = [
        Frame(own.track.id, START + number * own.ticks, START + number * own.ticks, KEY, data)
        for number, data in enumerate(own.frames)
    ]
    if own.track.kind == "Video":
        return [own.track], [replace(frame, flags=KEY if not each % 5 else 0) for each, frame in enumerate(frames)]
    video = KINDS["H.264"]
    pictures = [
        Frame(5, START - 1800 + number * 3600, START + 5400 + number * 3600, KEY if number % 5 == 0 else 0, data)
        for number, data in enumerate(video.frames)
    ]
    return [video.track, own.track], interleave(pictures, frames)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [188 * 7, 1, 1000], ids=["datagrams", "bytes", "odd portions"])
def test_what_was_muxed_comes_back(kind: str, step: int) -> None:
    tracks, frames = clip_of(kind)
    taken = receive(shared(mux(tracks, frames)), step)
    assert (taken.continuity_errors, taken.sync_losses, taken.damaged, taken.left_out) == (0, 0, 0, [])
    assert [each.codec for each in taken.tracks] == [each.codec for each in tracks]
    for number, track in enumerate(tracks):
        came, sent = taken.tracks[number], track
        assert (came.id, came.config) == (number, sent.config)
        assert came.channels in (sent.channels, 2)
        assert not sent.sample_rate or came.sample_rate == sent.sample_rate
        zero = min(frame.dts for frame in frames)
        expected = [(each.dts - zero, each.pts - zero, each.data) for each in frames if each.track == track.id]
        got = frames_of(taken, number)
        assert [data[-len(sent) :] for (_, _, data), (_, _, sent) in zip(got, expected, strict=True)] == [
            data for _, _, data in expected
        ]
        assert [times[:2] for times in got] == [times[:2] for times in expected]


@given(cuts=st.lists(st.integers(1, 700), min_size=1, max_size=60), tail=st.binary(max_size=187))
@hypothesis_settings(max_examples=30, deadline=None)
def test_any_portions_give_the_same(cuts: list[int], tail: bytes) -> None:
    data = join(Clip(frames=6).packets())
    whole = receive(data)
    taken = TsInput(Source(Clock()))
    at = 0
    for number in range(len(data)):
        size = cuts[number % len(cuts)]
        taken.take(data[at : at + size])
        at += size
        if at >= len(data):
            break
    taken.take(tail)
    taken.flush()
    assert frames_of(taken, 0)[:5] == frames_of(whole, 0)[:5]


def test_languages_and_kinds_are_numbered_in_order() -> None:
    names = ("fra", "deu")
    audio = [replace(AUDIO, id=number, language=name) for number, name in enumerate(names, 1)]
    subtitles = Track(7, Codec.PRIVATE, config=PRIVATE_CONFIG)
    tracks = [*audio, subtitles, replace(VIDEO, id=0)]
    frames = [Frame(0, START, START, KEY, KINDS["H.264"].frames[0])]
    frames += [Frame(each.id, START, START, KEY, bytes(80)) for each in [*audio, subtitles]]
    taken = receive(shared(mux(tracks, frames)))
    assert [(each.codec, each.language) for each in taken.tracks] == [
        (Codec.H264, ""),
        (Codec.AAC, "fra"),
        (Codec.AAC, "deu"),
        (Codec.PRIVATE, ""),
    ]
    assert taken.tracks[3].config == PRIVATE_CONFIG


def test_splice_times_move_with_the_stream() -> None:
    """SCTE 35 9.6: pts_adjustment is what those who give new times have to change, and the CRC with it."""
    m = Muxer()
    m.table("pat", 0, PAT, pat())
    body = (0xE000 | build_ts.VIDEO).to_bytes(2) + b"\xf0\x06\x05\x04CUEI"
    body += b"\x1b" + (0xE000 | build_ts.VIDEO).to_bytes(2) + b"\xf0\0"
    body += b"\x86" + (0xE000 | 0x200).to_bytes(2) + (0xF000 | 6).to_bytes(2) + b"\x05\x04CUEI"
    m.table("pmt", 0, PMT, build_ts.section(2, 5, body))
    at = (1 << 33) - 7200  # the clock wraps on the way
    clip = Clip()
    for number in range(8):
        dts = at + number * 3600
        m.add(
            "video", number, build_ts.VIDEO, pes(0xE3, dts, dts, clip.access_unit(number, number == 0), declared=False)
        )
        if number == 3:
            m.table("splice", number, 0x200, splice_insert(77, at + 90_000))
    taken = receive(join(m.packets))
    assert [each.codec for each in taken.tracks] == [Codec.H264, Codec.SCTE35]
    assert taken.tracks[1].config == SPLICE_CONFIG
    feed = taken.source.feed(FeedKey(Container.MPEGTS, (0, 1)))
    seen = parse(shared(feed.ring), [0x101])
    first = next(each for each in seen.pes if each.stream_id & 0xF0 == 0xE0)
    (section,) = {section for _, section in seen.sections[0x101]}
    assert build_ts.crc32(section) == 0
    adjustment = int.from_bytes(section[4:9]) & (1 << 33) - 1
    splice_time = int.from_bytes(section[20:25]) & (1 << 33) - 1
    assert (splice_time + adjustment - first.pts) % (1 << 33) == 90_000, "a second behind the first picture, as it came"


# ---- loss, damage, and what others send ----


@pytest.mark.parametrize("start", [0, (1 << 33) - 5 * 3600, (1 << 32) - 3600])
def test_the_clock_wraps(start: int) -> None:
    taken = receive(join(Clip(start=start or 900_000).packets()))
    dts = [each[0] for each in frames_of(taken, 0)]
    assert dts == [3600 * number for number in range(24)]


def test_one_lost_packet_costs_one_picture() -> None:
    packets = Clip().packets()
    lost = of(packets, "video", 7) + 2
    taken = receive(join(packets[:lost] + packets[lost + 1 :]))
    assert (taken.continuity_errors, taken.damaged) == (1, 1)
    whole, damaged = frames_of(receive(join(packets)), 0), frames_of(taken, 0)
    assert [each for each in whole if each not in damaged] == [whole[7]]


def test_lost_tables_and_transport_errors() -> None:
    packets = Clip().packets()
    packets[of(packets, "audio", 5)].data[1] |= 0x80
    packets[of(packets, "video", 9)].data[3] |= 0x80
    packets[of(packets, "pmt", 10)].data[20] ^= 1
    taken = receive(join(packets))
    assert (taken.transport_errors, taken.scrambled, taken.damaged_tables) == (1, 1, 1)
    assert len(frames_of(taken, 0)) == 22, "and the one before, whose end nobody saw"


def test_a_packet_that_is_sent_twice_counts_once() -> None:
    packets = [each for packet in Clip().packets() for each in (packet, packet)]
    taken = receive(join(packets))
    assert taken.continuity_errors == 0
    assert frames_of(taken, 0) == frames_of(receive(join(Clip().packets())), 0)


def test_a_discontinuity_that_is_said_is_no_error() -> None:
    packets = Clip().packets()
    at = of(packets, "video", 5)
    for packet in packets[at:]:
        if packet.label.startswith("video"):
            packet.data[3] = packet.data[3] & 0xF0 | (packet.data[3] + 5) & 15
    packets[at].data[5] |= 0x80
    assert receive(join(packets)).continuity_errors == 0


@pytest.mark.parametrize("before", [1, 100, 187, 188, 1000])
def test_sync_is_found_behind_rubbish(before: int) -> None:
    taken = receive(Random(3).randbytes(before) + join(Clip().packets()))
    assert len(frames_of(taken, 0)) >= 23


@pytest.mark.parametrize(
    ("head", "tail", "sentence"),
    [
        (b"", bytes(16), "204 bytes, expected 188: the 16 parity"),
        (bytes(4), b"", "192 bytes, expected 188: the 4 bytes"),
    ],
)
def test_packets_of_other_sizes_are_refused(head: bytes, tail: bytes, sentence: str) -> None:
    data = b"".join(head + packet.data + tail for packet in Clip().packets())
    with pytest.raises(MediaError, match=sentence):
        receive(data)


def test_what_is_no_transport_stream_is_refused() -> None:
    with pytest.raises(MediaError, match="without a sync byte every 188"):
        receive(Random(7).randbytes(80_000))


def test_a_long_access_unit_in_several_pes_packets() -> None:
    """Encoders that write lengths go on in PES packets without a PTS."""
    clip, m = Clip(), Muxer()
    m.table("pat", 0, PAT, pat())
    m.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x1B}))
    unit = clip.access_unit(0, True) + bytes(range(1, 256)) * 300
    m.add("video", 0, build_ts.VIDEO, pes(0xE3, START, START, unit[:65000], declared=True))
    rest = unit[65000:]
    m.add("video", 0, build_ts.VIDEO, b"\0\0\1\xe3" + (3 + len(rest)).to_bytes(2) + b"\x80\0\0" + rest)
    m.add("video", 1, build_ts.VIDEO, pes(0xE3, START + 3600, START + 3600, clip.access_unit(1, False), declared=True))
    taken = receive(join(m.packets))
    first, second = frames_of(taken, 0)
    assert first[2].endswith(unit[-700:])
    assert len(second[2]) < 1000
    assert taken.damaged == 0


# ---- changes of the program ----


def moved(packets: list[build_ts.Packet], pids: dict[int, int]) -> bytes:
    """The same packets on other PIDs."""
    data = bytearray()
    for packet in packets:
        pid = (packet.data[1] & 0x1F) << 8 | packet.data[2]
        new = pids.get(pid, pid)
        data += bytes((0x47, packet.data[1] & 0xE0 | new >> 8, new & 255)) + packet.data[3:]
    return bytes(data)


def test_the_same_tracks_on_other_pids_go_on() -> None:
    first = Clip(frames=10).packets()
    second = [each for each in Clip(frames=10, start=936_000).packets() if each.label not in ("pat", "pmt")]
    tables = Muxer()
    tables.table("pmt", 0, PMT, pmt({0x300: 0x1B, 0x301: 0x0F}, version=4))
    taken = TsInput(Source(Clock()))
    taken.take(join(first))
    assert taken.ready
    taken.freeze()
    tables.packets[0].data[3] = 0x10 | (first[of(first, "pmt", 8)].data[3] + 1 & 15)
    taken.take(join(tables.packets) + moved(second, {build_ts.VIDEO: 0x300, build_ts.AUDIO: 0x301}))
    taken.flush()
    assert not taken.changed
    assert taken.continuity_errors == 0
    assert [each[0] for each in frames_of(taken, 0)] == [3600 * number for number in range(20)]


def test_other_tracks_are_another_stream() -> None:
    first = Clip(frames=4).packets()
    second = Clip(frames=4, video_type=0x24).packets()
    taken = receive(join(first))
    assert not taken.changed
    before = taken.source.frame_count
    tables = Muxer()
    tables.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x24, build_ts.AUDIO: 0x0F}, version=9))
    tables.packets[0].data[3] = 0x10 | (first[of(first, "pmt", 2)].data[3] + 1 & 15)
    taken.take(join(tables.packets) + join([each for each in second if each.label not in ("pat", "pmt")]))
    assert taken.changed
    assert taken.source.frame_count == before


def test_a_program_is_chosen() -> None:
    two = build_ts.section(
        0, 77, b"".join((number << 16 | 0xE000 | pid).to_bytes(4) for number, pid in ((9, 0x50), (5, PMT)))
    )
    packets = Clip().packets()
    tables = Muxer()
    tables.table("pat", 0, PAT, two)
    data = join([tables.packets[0] if each.label == "pat" else each for each in packets])
    first, chosen = receive(data), receive(data, program=5)
    assert (first.program, first.tracks) == (9, ())
    assert (chosen.program, [each.codec for each in chosen.tracks]) == (5, [Codec.H264, Codec.AAC])
    assert "programs besides 5: 9" in chosen.left_out


@pytest.mark.parametrize(
    ("stream_type", "reason"),
    [(0x02, "MPEG-2 video"), (0x05, "private sections"), (0xEA, "no kind that is known")],
)
def test_what_is_left_out_says_why(stream_type: int, reason: str) -> None:
    packets = [each for each in Clip().packets() if each.label not in ("pmt", "pat")]
    tables = Muxer()
    tables.table("pat", 0, PAT, pat())
    tables.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x1B, build_ts.AUDIO: 0x0F, 0x444: stream_type}))
    taken = receive(join(tables.packets + packets))
    assert taken.left_out == [f"PID 1092: stream_type {stream_type:#04x}, {reason}"]
    assert len(taken.tracks) == 2


def test_tables_without_end_are_read_as_packets_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others in each packet cost no more than some; what is left out is of the one in force."""
    read: list[bytes] = []

    def counted(section: bytes) -> list[ElementaryStream]:
        read.append(section)
        return read_pmt(section)

    monkeypatch.setattr("pushcast.tsinput.read_pmt", counted)
    tables = Muxer()
    tables.table("pat", 0, PAT, pat())
    for number in range(2000):
        tables.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x24, 0x400 + number % 7: 0x02}, version=number % 32))
    taken = TsInput(Source(Clock()))
    taken.take(join(tables.packets))
    assert 40 <= len(read) <= 57
    assert len(taken.left_out) == 1
    for _ in range(60):
        tables.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x1B, 0x500: 0x02}, version=3))
    taken.take(join(tables.packets[2001:]))
    assert [each.split(":")[0] for each in taken.left_out] == ["PID 1280"]


def test_pids_of_tables_are_not_taken_for_tracks() -> None:
    tables = Muxer()
    tables.table("pat", 0, PAT, pat())
    tables.table("pmt", 0, PMT, pmt({PMT: 0x1B, 0: 0x0F, 0x101: 0x0F}))
    taken = receive(join(tables.packets + tables.packets))
    assert [each.split(":")[0] for each in taken.left_out] == [f"PID {PMT}", "PID 0"]


def test_a_silent_track_is_not_waited_for() -> None:
    tables = Muxer()
    tables.table("pat", 0, PAT, pat())
    tables.table("pmt", 0, PMT, pmt({build_ts.VIDEO: 0x1B, 0x333: 0x0F}))
    taken = TsInput(Source(Clock()))
    taken.take(join(tables.packets))
    clip = [each for each in Clip(frames=100).packets() if each.label.startswith("video")]
    cut = of(clip, "video", 40)
    taken.take(join(clip[:cut]))
    assert not taken.ready
    taken.take(join(clip[cut:]))
    assert taken.ready
    taken.freeze()
    assert taken.left_out == ["AAC on PID 819: nothing came that tells what a decoder needs"]


def test_pictures_without_end_on_many_pids_have_a_bound() -> None:
    """Each of them may be as large as a keyframe is; all of them together may not."""
    pids = range(0x100, 0x110)
    tables = Muxer()
    tables.table("pat", 0, PAT, pat())
    tables.table("pmt", 0, PMT, pmt(dict.fromkeys(pids, 0x1B)))
    taken = TsInput(Source(Clock()))
    taken.take(join(tables.packets))
    for pid in pids:
        head = bytes((0x47, pid >> 8, pid & 255))
        start = bytes((0x47, 0x40 | pid >> 8, pid & 255, 0x10)) + pes(0xE0, 0, 0, b"", declared=False).ljust(184, b"\1")
        cycle = b"".join(head + bytes((0x10 | (number + 1) % 16,)) + b"\1" * 184 for number in range(16))
        taken.take(start + cycle * 1500)  # 4.4 MB, for which 8 MiB are taken
    assert taken.damaged == len(pids) - 6, "48 MiB hold six of them, and no more"


@given(data=st.data())
@hypothesis_settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_survived(data: st.DataObject) -> None:
    stream = bytearray(join(Clip(frames=8).packets()))
    for _ in range(data.draw(st.integers(1, 20))):
        at = data.draw(st.integers(0, len(stream) - 1))
        stream[at] = data.draw(st.integers(0, 255))
    try:
        taken = receive(bytes(stream), data.draw(st.sampled_from([188, 1316, 77])))
    except MediaError:
        return
    dts = [each[0] for each in frames_of(taken, 0)]
    assert dts == sorted(dts)


@given(
    st.lists(st.tuples(st.binary(min_size=1, max_size=700), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 600),
)
@hypothesis_settings(max_examples=60, deadline=None)
def test_any_pes_packets_come_back(contents: list[tuple[bytes, bool]], step: int) -> None:
    """Data of any sizes, with a PES_packet_length and without."""
    body = (
        (0xE000 | build_ts.VIDEO).to_bytes(2)
        + b"\xf0\0\x06"
        + (0xE000 | build_ts.VIDEO).to_bytes(2)
        + b"\xf0\x06\x05\x04KLVA"
    )
    m = Muxer()
    m.table("pat", 0, PAT, pat())
    m.table("pmt", 0, PMT, build_ts.section(2, 5, body))
    for number, (content, declared) in enumerate(contents):
        at = START + 3600 * number
        m.add("data", number, build_ts.VIDEO, pes(0xBD, at, at, content, declared=declared))
    taken = receive(join(m.packets), step)
    assert frames_of(taken, 0) == [
        (3600 * number, 3600 * number, content) for number, (content, _) in enumerate(contents)
    ]
    assert taken.damaged == 0
