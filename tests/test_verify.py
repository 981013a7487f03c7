"""The stream checkers: a clean stream is clean, and each damage counts as its own kind and no other."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import build_rtmp as rtmp
import build_ts as ts
import pytest
from build_ts import Clip, Packet
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast.verify import RTMP_ERRORS, TS_ERRORS, RtmpChecker, TsChecker

# ---- MPEG-TS ----


def check_ts(data: bytes, step: int = 0) -> TsChecker:
    checker = TsChecker()
    for at in range(0, len(data), step or max(1, len(data))):
        checker.feed(data[at : at + (step or len(data))])
    return checker


def flip(label: str, frame: int, at: int, value: int) -> Callable[[list[Packet]], None]:
    def damage(packets: list[Packet]) -> None:
        packets[ts.of(packets, label, frame)].data[at] ^= value

    return damage


def remove(label: str, *frames: int) -> Callable[[list[Packet]], None]:
    def damage(packets: list[Packet]) -> None:
        for frame in frames:
            del packets[ts.of(packets, label, frame)]

    return damage


def insert(frame: int, make: Callable[[], list[bytes]]) -> Callable[[list[Packet]], None]:
    def damage(packets: list[Packet]) -> None:
        at = ts.of(packets, "video", frame)
        packets[at:at] = [Packet("", frame, bytearray(data)) for data in make()]

    return damage


def nothing(packets: list[Packet]) -> None:
    pass


def tables_behind_key(packets: list[Packet]) -> None:
    at = ts.of(packets, "pat", 10)
    tables = packets[at : at + 2]
    del packets[at : at + 2]
    packets[at + 1 : at + 1] = tables


def other_pmt(packets: list[Packet]) -> None:
    """The same version with a descriptor more."""
    table = b"\0" + ts.pmt({ts.VIDEO: 0x1B, ts.AUDIO: 0x0F}, b"\x05\x04HDMV")
    packets[ts.of(packets, "pmt", 6)].data[4:] = table.ljust(184, b"\xff")


def packet(pid: int, control: int, rest: bytes = b"\xb7" + b"\0" * 183) -> bytes:
    return bytes((0x47, pid >> 8, pid & 255, control)) + rest


def many_pids() -> list[bytes]:
    return [packet(0x600 + i, 0x20) for i in range(40)]


# (kind, the clip, what is done to it, how often it counts)
TS_DAMAGE = [
    ("sync", Clip(), flip("video+", 3, 0, 0x10), 1),
    ("transport_error", Clip(), flip("video+", 3, 1, 0x80), 1),
    ("scrambled", Clip(), flip("video+", 3, 3, 0x80), 1),
    ("adaptation_field", Clip(), flip("video+", 3, 3, 0x10), 1),
    ("continuity", Clip(), remove("video+", 3), 1),
    ("unlisted_pid", Clip(), insert(4, lambda: [packet(0x0ABC, 0x10)]), 1),
    ("too_many_pids", Clip(), insert(4, many_pids), 12),
    ("psi_crc", Clip(tables_every=1), flip("pmt", 4, 4 + 14, 0x01), 1),
    ("psi_syntax", Clip(tables_every=1), flip("pat", 4, 4 + 2, 0x80), 1),
    ("psi_version", Clip(), other_pmt, 2),
    ("pat_interval", Clip(no_pat=frozenset((2, 4, 6, 8))), nothing, 1),
    ("pmt_interval", Clip(no_pmt=frozenset((12, 14, 16, 18))), nothing, 1),
    ("tables_before_key", Clip(), tables_behind_key, 1),
    ("pcr_interval", Clip(no_pcr=frozenset((3, 4))), nothing, 1),
    ("pcr_interval", Clip(no_pcr=frozenset(range(24))), nothing, 1),
    ("pcr_order", Clip(pcr_shift={5: -1_080_001}), nothing, 1),
    ("pes_start", Clip(), remove("audio", 0), 1),
    ("pes_header", Clip(), flip("audio", 3, 4 + 2, 0x02), 1),
    ("pes_header", Clip(), flip("audio", 3, 4 + 3, 0x20), 1),
    ("pes_header", Clip(), flip("audio", 3, 4 + 6, 0x80), 1),
    ("pes_header", Clip(), flip("audio", 3, 4 + 13, 0x01), 1),
    ("pes_length", Clip(audio_extra={7: 9}), nothing, 1),
    ("pes_length", Clip(audio_extra={7: -9}), nothing, 1),
    ("dts_order", Clip(audio_shift={6: -ts.TICKS}), nothing, 1),
    ("pts_before_dts", Clip(pts_shift={6: -2 * ts.TICKS}), nothing, 1),
    ("dts_before_pcr", Clip(audio_delay=-450), nothing, 24),
    ("dts_far_from_pcr", Clip(audio_delay=990_000), nothing, 24),
    ("access_unit_delimiter", Clip(no_delimiter=frozenset((4, 5))), nothing, 2),
    ("first_frame", Clip(first_key=2), nothing, 1),
    ("first_frame", Clip(first_key=2, random_access=False), nothing, 1),
    ("first_frame", Clip(first_key=2, random_access=False, video_type=0x24), nothing, 1),
]


@pytest.mark.parametrize(("kind", "clip", "damage", "count"), TS_DAMAGE)
def test_each_damage_of_a_transport_stream_counts_as_its_kind_alone(kind, clip, damage, count):
    packets = clip.packets()
    damage(packets)
    data = ts.join(packets)
    for step in (0, 1, 189):
        assert check_ts(data, step).errors() == {kind: count}


def test_every_kind_of_transport_stream_error_is_tried():
    assert {kind for kind, *_ in TS_DAMAGE} | {"datagram_size"} == set(TS_ERRORS)


@pytest.mark.parametrize(
    "clip",
    [
        Clip(),
        Clip(start=(1 << 33) - 5 * ts.TICKS),
        Clip(start=(1 << 33) + 18_000 - 7 * ts.TICKS),
        Clip(video_type=0x24),
        Clip(random_access=False),
        Clip(random_access=False, video_type=0x24),
    ],
    ids=["plain", "dts wraps", "pcr wraps", "hevc", "idr without flag", "irap without flag"],
)
def test_a_clean_transport_stream_has_no_errors(clip):
    checker = check_ts(ts.join(clip.packets()))
    assert checker.errors() == {}
    stats = checker.stats()
    assert (stats["video_frames"], stats["audio_frames"]) == (24, 24)
    assert stats["key_frames"] == (3 if clip.random_access else 0)
    assert stats["first_dts"] == clip.start % (1 << 33)
    assert stats["last_dts"] == clip.start % (1 << 33) + 23 * ts.TICKS
    assert stats["max_pcr_interval_ms"] == 40.0
    assert stats["max_dts_step_ms"] == 40.0
    assert stats["max_pat_interval_ms"] == 40.0
    assert not checker.cut


def test_what_the_standard_allows_is_no_error():
    packets = Clip().packets()
    repeated = ts.of(packets, "video+", 3)
    packets.insert(repeated, packets[repeated])
    packets.insert(5, Packet("null", 0, bytearray(packet(0x1FFF, 0x15))))
    # PCR alone, between the frames.
    alone = packet(ts.VIDEO, 0x20, b"\xb7\x10" + ts.clock((900_000 - 18_000 + 1800) * 300) + b"\xff" * 176)
    at = ts.of(packets, "video", 1)
    counter = next(p.data[3] & 15 for p in reversed(packets[:at]) if p.label.startswith("video"))
    packets.insert(at, Packet("pcr", 1, bytearray(alone[:3] + bytes((0x20 | counter,)) + alone[4:])))
    checker = check_ts(ts.join(packets))
    assert checker.errors() == {}
    assert checker.stats()["max_pcr_interval_ms"] == 40.0


def test_a_packet_repeated_twice_or_with_other_bytes_is_a_continuity_error():
    for extra in (2, 1):
        packets = Clip().packets()
        at = ts.of(packets, "video+", 3)
        copies = [Packet("copy", 3, bytearray(packets[at].data)) for _ in range(extra)]
        if extra == 1:
            copies[0].data[100:] = bytes(88)
        packets[at + 1 : at + 1] = copies
        assert check_ts(ts.join(packets)).errors() == {"continuity": 1}


def test_an_announced_discontinuity_excuses_counters_clock_and_stamps():
    packets = Clip().packets()
    half = ts.of(packets, "pat", 10)
    later = Clip(start=40_000_000).packets()
    announced = [
        Packet("lead", 10, bytearray(packet(pid, 0x20 | 11, b"\xb7\x80" + b"\xff" * 182)))
        for pid in (ts.PAT, ts.PMT, ts.VIDEO, ts.AUDIO)
    ]
    for one in later:
        one.data[3] = one.data[3] & 0xF0 | (one.data[3] + 7) & 15  # counters 5.. become 12..
    assert check_ts(ts.join(packets[:half] + announced + later)).errors() == {}
    assert "continuity" in check_ts(ts.join(packets[:half] + later)).errors()


def test_sections_may_lie_across_packets_and_change_with_their_version():
    streams = {ts.VIDEO: 0x1B, ts.AUDIO: 0x0F}
    many = streams | {0x700 + i: 0x06 for i in range(24)}
    words = b"\x05\x3a" + b"a private name that makes the section long".ljust(58)
    mux = ts.Muxer()
    clip = Clip()
    mux.table("pat", 0, ts.PAT, ts.pat())
    mux.table("pmt", 0, ts.PMT, ts.pmt(streams))
    mux.table("pat", 0, ts.PAT, ts.pat())
    mux.table("pmt", 0, ts.PMT, ts.pmt(many, words, version=4))
    assert [packet.label for packet in mux.packets[-2:]] == ["pmt", "pmt+"]
    mux.add("video", 0, ts.VIDEO, ts.pes(0xE0, 9000, 9000, clip.access_unit(0, True), declared=False), 0x40, 0)
    checker = check_ts(ts.join(mux.packets))
    assert checker.errors() == {}
    assert checker.stats()["video_frames"] == 1


def test_datagrams_hold_whole_packets():
    data = ts.join(Clip().packets())
    checker = TsChecker()
    for at in range(0, len(data), 7 * 188):
        checker.feed_datagram(data[at : at + 7 * 188])
    assert checker.errors() == {}
    checker.feed_datagram(data[:187])
    checker.feed_datagram(b"")
    assert checker.errors() == {"datagram_size": 1}


def test_sync_is_found_again_and_garbage_is_given_up():
    data = ts.join(Clip().packets())
    checker = check_ts(data[: 20 * 188] + b"\x47" * 3 + bytes(700) + data[20 * 188 :])
    assert checker.errors()["sync"] == 1
    assert checker.stats()["video_frames"] == 24
    assert not checker.garbage
    lost = check_ts(bytes(30_000) + data)
    assert lost.garbage
    assert lost.errors() == {"sync": 1}


# ---- RTMP ----


def check_rtmp(pieces: list[bytes] | bytes, step: int = 0, message_stream_id: int = rtmp.STREAM) -> RtmpChecker:
    data = pieces if isinstance(pieces, bytes) else b"".join(pieces)
    checker = RtmpChecker(message_stream_id)
    for at in range(0, len(data), step or max(1, len(data))):
        checker.feed(data[at : at + (step or len(data))])
    return checker


def with_frame(*pieces: bytes) -> list[bytes]:
    """A clip that goes on with these."""
    return rtmp.clip() + list(pieces)


LATE = 0x1234567
RTMP_DAMAGE = [
    ("chunk_header", with_frame(rtmp.chunks(9, rtmp.VIDEO, 5, b"\0" * 9, fmt=1)), 1),
    ("too_many_csids", with_frame(*(rtmp.chunks(70 + i, rtmp.AUDIO, 900, rtmp.aac(b"x")) for i in range(13))), 1),
    ("chunk_size", with_frame(rtmp.chunks(2, rtmp.SIZE, 0, bytes(4), msid=0)), 1),
    (
        "extended_timestamp",
        with_frame(rtmp.chunks(6, rtmp.VIDEO, LATE, rtmp.avc(False, rtmp.SLICE), omit=True)),
        1,
    ),
    ("message_type", with_frame(rtmp.chunks(7, 7, 0, b"abc")), 1),
    ("message_length", with_frame(rtmp.chunks(8, 16, 0, bytes(9_000_000), size=1000)[:5000]), 1),
    (
        "message_unfinished",
        with_frame(
            rtmp.chunks(6, rtmp.VIDEO, 400, rtmp.avc(False, rtmp.SLICE))[:1012],
            rtmp.chunks(6, rtmp.VIDEO, 440, rtmp.avc(False, rtmp.SLICE)),
        ),
        1,
    ),
    ("message_stream", with_frame(rtmp.chunks(4, rtmp.AUDIO, 400, rtmp.aac(b"y"), msid=4)), 1),
    ("control", with_frame(rtmp.chunks(2, rtmp.SIZE, 0, bytes(5), msid=0)), 1),
    ("control", with_frame(rtmp.chunks(3, rtmp.WINDOW, 0, b"\0\0\1\0", msid=0)), 1),
    ("command", with_frame(rtmp.chunks(3, rtmp.COMMAND, 0, bytes(5000), msid=0)), 1),
    ("timestamp_order", with_frame(rtmp.chunks(4, rtmp.AUDIO, 100, rtmp.aac(b"z"))), 1),
    ("tag_header", with_frame(rtmp.chunks(6, rtmp.VIDEO, 400, b"\x10\1\0\0\0abc")), 1),
    ("tag_header", with_frame(rtmp.chunks(6, rtmp.VIDEO, 400, b"\x91none\0\0\0abc")), 1),
    ("tag_header", with_frame(rtmp.chunks(4, rtmp.AUDIO, 400, b"\xdf\1\0")), 1),
    ("tag_header", with_frame(rtmp.chunks(6, rtmp.VIDEO, 400, b"")), 1),
    ("frame_before_config", rtmp.prologue()[:3] + rtmp.prologue()[4:] + rtmp.frames(), 9),
    ("frame_before_config", rtmp.prologue()[:4] + rtmp.frames(), 9),
    ("first_frame", [*rtmp.prologue(), rtmp.chunks(6, rtmp.VIDEO, 0, rtmp.avc(False, rtmp.SLICE))], 1),
    ("nal_lengths", with_frame(rtmp.chunks(6, rtmp.VIDEO, 400, rtmp.avc(False, rtmp.SLICE)[:-3])), 1),
    ("nal_lengths", with_frame(rtmp.chunks(6, rtmp.VIDEO, 400, rtmp.avc(False, rtmp.SLICE) + b"\0\0")), 1),
]


@pytest.mark.parametrize(("kind", "pieces", "count"), RTMP_DAMAGE)
def test_each_damage_of_an_rtmp_stream_counts_as_its_kind_alone(kind, pieces, count):
    for step in (0, 1, 13):
        assert check_rtmp(pieces, step).errors() == {kind: count}


def test_media_must_wait_for_publish():
    checker = check_rtmp(rtmp.clip(), message_stream_id=0)
    assert checker.errors() == {"media_before_publish": 3 + 18}
    checker = RtmpChecker(0)
    checker.publish(rtmp.STREAM)
    checker.feed(b"".join(rtmp.clip()))
    assert checker.errors() == {}


def test_every_kind_of_rtmp_error_is_tried():
    connection = {"handshake", "no_publish", "not_reading"}  # of the sink: test_sink.py
    assert {kind for kind, *_ in RTMP_DAMAGE} | connection | {"media_before_publish"} == set(RTMP_ERRORS)


@pytest.mark.parametrize("step", [0, 1, 5, 1000])
def test_a_clean_rtmp_stream_has_no_errors(step):
    checker = check_rtmp(rtmp.clip(), step)
    assert checker.errors() == {}
    stats = checker.stats()
    assert (stats["video_frames"], stats["audio_frames"], stats["key_frames"], stats["metadata"]) == (9, 9, 1, 1)
    assert (stats["first_dts"], stats["last_dts"]) == (0, 8 * 40 * 90)
    assert (stats["chunk_size"], stats["config_changes"], stats["max_dts_step_ms"]) == (1000, 0, 40)
    assert not checker.cut
    assert not checker.broken


def test_time_goes_on_over_24_and_32_bits():
    for start in (0xFFFFFF - 90, 0xFFFFFFFF - 90, LATE):
        checker = check_rtmp(rtmp.prologue(start=start) + rtmp.frames(start=start), 3)
        assert checker.errors() == {}
        assert checker.stats()["last_dts"] == (start + 320) * 90


def test_large_csids_aborts_and_interleaved_messages():
    sound = rtmp.chunks(320, rtmp.AUDIO, 50, rtmp.aac(bytes(10)))
    picture = rtmp.chunks(64, rtmp.VIDEO, 60, rtmp.avc(True, rtmp.IDR), size=1000)
    half = 2 + 11 + 1000
    abort = rtmp.chunks(2, 2, 0, (65599).to_bytes(4), msid=0)
    dropped = rtmp.chunks(65599, rtmp.AUDIO, 70, rtmp.aac(bytes(3000)))[: 3 + 11 + 1000]
    pieces = [*rtmp.prologue(), picture[:half], sound, picture[half:], dropped, abort]
    for step in (0, 1):
        checker = check_rtmp(pieces, step)
        assert checker.errors() == {}
        assert (checker.stats()["video_frames"], checker.stats()["audio_frames"]) == (1, 1)


def test_commands_and_pings_are_handed_back():
    ping = rtmp.chunks(2, rtmp.CONTROL, 0, b"\0\6\1\2\3\4", msid=0)
    call = rtmp.command("getStreamLength", 4.0, None, "some-name", csid=3)
    for step in (0, 1):
        checker = RtmpChecker(rtmp.STREAM)
        data = ping + call + ping
        messages = []
        for at in range(0, len(data), step or len(data)):
            messages += checker.feed(data[at : at + (step or len(data))])
        assert [type for type, _ in messages] == [4, 20, 4]
        assert messages[0][1] == b"\0\6\1\2\3\4"
        assert messages[1][1].endswith(b"some-name")


def test_a_stream_that_ends_within_a_message_is_cut():
    data = b"".join(rtmp.clip())
    assert check_rtmp(data[:-1]).cut
    assert check_rtmp(data + b"\x44\0").cut


# ---- anything at all ----


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=3000), st.integers(1, 400))
def test_random_bytes_do_no_harm(data, step):
    whole, pieces = check_ts(data), check_ts(data, step)
    assert (whole.errors(), whole.stats()) == (pieces.errors(), pieces.stats())
    datagrams = TsChecker()
    datagrams.feed_datagram(data)
    rtmp_whole, rtmp_pieces = check_rtmp(data), check_rtmp(data, step)
    assert (rtmp_whole.errors(), rtmp_whole.stats()) == (rtmp_pieces.errors(), rtmp_pieces.stats())


GOOD_TS = ts.join(Clip(frames=12).packets())
GOOD_RTMP = b"".join(rtmp.clip())
CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(1, 255)), min_size=1, max_size=12)


@settings(deadline=None, max_examples=100)
@given(CHANGES, st.integers(1, 500))
def test_damaged_streams_are_judged_alike_whole_and_in_pieces(changes, step):
    transport, chunks = bytearray(GOOD_TS), bytearray(GOOD_RTMP)
    for at, value in changes:
        transport[at % len(transport)] ^= value
        chunks[at % len(chunks)] ^= value
    whole, pieces = check_ts(bytes(transport)), check_ts(bytes(transport), step)
    assert (whole.errors(), whole.stats()) == (pieces.errors(), pieces.stats())
    whole_rtmp, pieces_rtmp = check_rtmp(bytes(chunks)), check_rtmp(bytes(chunks), step)
    assert (whole_rtmp.errors(), whole_rtmp.stats()) == (pieces_rtmp.errors(), pieces_rtmp.stats())


# ---- what ffmpeg makes ----

CODECS = {
    "h264+aac": "-c:v libx264 -preset ultrafast -g 25 -c:a aac",
    "h264 with b-frames+mp2": "-c:v libx264 -preset veryfast -bf 2 -g 25 -c:a mp2",
    "hevc+ac3": "-c:v libx265 -preset ultrafast -x265-params log-level=none:keyint=25 -c:a ac3",
}
CAREFUL = "-mpegts_flags pat_pmt_at_frames -pcr_period 20"


@pytest.fixture(scope="module", params=list(CODECS))
def clip(request, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "clip.mkv"
    inputs = "-f lavfi -i testsrc2=size=320x180:rate=25 -f lavfi -i sine=sample_rate=48000"
    run_ffmpeg(f"{inputs} -t 3 {CODECS[request.param]} {path}")
    return path


def run_ffmpeg(arguments: str) -> bytes:
    command = ["ffmpeg", "-v", "error", "-nostdin", *arguments.split()]
    return subprocess.run(command, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.parametrize("options", ["", CAREFUL, "-muxrate 3000k"])
def test_transport_streams_of_ffmpeg_are_clean(clip, options):
    checker = check_ts(run_ffmpeg(f"-i {clip} -c copy {options} -f mpegts -"))
    # By default ffmpeg sends a PCR with each second frame or so, which must not be more than the standard allows.
    assert checker.errors() == {}
    stats = checker.stats()
    assert stats["video_frames"] == 75
    assert stats["key_frames"] == 3
    assert stats["audio_frames"] > 5
    assert 0 < stats["max_pcr_interval_ms"] <= (40 if options else 100)


def test_lost_packets_of_ffmpeg_s_streams_are_seen(clip):
    data = run_ffmpeg(f"-i {clip} -c copy -f mpegts -")
    at = len(data) // 188 // 2 * 188
    while data[at + 3] & 0x30 != 0x10:  # one without PCR
        at += 188
    assert check_ts(data[:at] + data[at + 188 :]).errors()["continuity"] == 1
