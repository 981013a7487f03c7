"""TsMuxer against the standard: golden packets, a strict parser of our own, ffmpeg as the judge of the media."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_ts import (
    AUDIO,
    CONFIG,
    DELAY,
    DISCONTINUITY,
    FIRST_PID,
    HEVC,
    IDR,
    KEY,
    MS,
    PAT_PID,
    PMT_PID,
    SDT_PID,
    SLICE,
    SPAN_DISCONTINUITY,
    SPAN_KEY,
    VIDEO,
    Frame,
    Transport,
    annexb,
    audio_frames,
    check_clock_and_tables,
    check_frames,
    crc32,
    expected_payload,
    interleave,
    key_spans,
    lengths,
    mux,
    parse,
    pmt_streams,
    shared,
    unwrap,
    video_frames,
)

from pushcast import aac, videoconfig
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind, Track
from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring
from pushcast.tsoptions import TsOptions

# Golden bytes


def golden() -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    name = ""
    for line in (Path(__file__).parent / "data/mpegts_golden.txt").read_text().splitlines():
        words = line.split("#")[0]
        if words.startswith("["):
            name = words.strip("[] ")
            parts[name] = b""
            continue
        for word in words.split():
            text, _, times = word.partition("*")
            parts[name] += bytes.fromhex(text) * int(times or 1)
    return parts


def test_golden_packets() -> None:
    avcc = b"\x01\x42\x00\x1e\xff\xe1\x00\x04\x67\x42\x00\x1e\x01\x00\x02\x68\xce"
    tracks = [Track(3, Codec.H264, config=avcc), Track(8, Codec.AAC, config=b"\x11\x90")]
    ring = Ring()
    muxer = TsMuxer(ring, tracks, TsOptions(service_name="golden", decode_delay_ms=200))
    muxer.write_frame(3, 90000, 93600, KEY, bytes.fromhex("00000003658884"))
    muxer.write_frame(8, 90300, 90300, 0, bytes.fromhex("211004"))
    muxer.write_frame(3, 93600, 93600, 0, b"\0\0\0\xc8\x41" + b"\xaa" * 199)
    written = [ring.read_lead(0), *(ring.read(seq) for seq in range(ring.head))]
    for (name, expected), got in zip(golden().items(), written, strict=True):
        for at in range(0, len(expected), 188):
            assert got[at : at + 188].hex() == expected[at : at + 188].hex(), f"{name}, packet {at // 188}"
        assert len(got) == len(expected)


# Real media

X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 700k -x264-params repeat-headers=0"
CLIPS = {
    "25 fps, aac 48k stereo": (f"{X264} -r 25 -g 25 -bf 0", "-c:a aac -ar 48000 -ac 2", "mp4"),
    "25 fps with B-frames, aac 44.1k mono": (
        f"{X264} -r 25 -g 30 -bf 3 -b_strategy 0",
        "-c:a aac -ar 44100 -ac 1",
        "mp4",
    ),
    "24 fps, slices, aac 44.1k stereo": (f"{X264} -r 24 -g 24 -slices 4", "-c:a aac -ar 44100 -ac 2", "mp4"),
    "29.97 fps in band, aac 48k mono": (
        f"{X264} -r 30000/1001 -g 15 -bf 2 -aud 1 -bsf:v dump_extra",
        "-c:a aac -ar 48000 -ac 1",
        "mp4",
    ),
    "15 fps, no audio": (f"{X264} -r 15 -g 15", "", "mp4"),
    "hevc, aac 48k stereo": (
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -r 25 -g 25 -x265-params log-level=none:bframes=2",
        "-c:a aac -ar 48000 -ac 2",
        "mp4",
    ),
    "aac 44.1k alone": ("", "-c:a aac -ar 44100 -ac 2", "mp4"),
    "mp2 alone": ("", "-c:a mp2 -ar 48000 -ac 2", "mkv"),
    "mp3 22k alone": ("", "-c:a libmp3lame -ar 22050 -ac 1", "mkv"),
    "ac3 with video": (f"{X264} -r 25 -g 25", "-c:a ac3 -ar 48000 -ac 2", "mp4"),
    "eac3 alone": ("", "-c:a eac3 -ar 48000 -ac 2", "mp4"),
    "opus alone": ("", "-c:a libopus -ar 48000 -ac 2", "mp4"),
}
CODECS = {
    "h264": Codec.H264,
    "hevc": Codec.HEVC,
    "aac": Codec.AAC,
    "mp2": Codec.MP2,
    "mp3": Codec.MP3,
    "mp3float": Codec.MP3,
    "ac3": Codec.AC3,
    "eac3": Codec.EAC3,
    "opus": Codec.OPUS,
    "libopus": Codec.OPUS,
}
STREAM_TYPES = {
    Codec.H264: 0x1B,
    Codec.HEVC: 0x24,
    Codec.AAC: 0x0F,
    Codec.MP2: 0x03,
    Codec.MP3: 0x04,  # the clip's 22.05 kHz make it MPEG-2 audio
    Codec.AC3: 0x81,
    Codec.EAC3: 0x87,
    Codec.OPUS: 0x06,
}


@dataclass(frozen=True)
class Clip:
    path: Path
    tracks: list[Track]
    frames: list[Frame]


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    video, audio, container = CLIPS[request.param]
    path = tmp_path_factory.mktemp("clip") / f"clip.{container}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:d=2.5:r=60"]
    command += ["-f", "lavfi", "-i", "sine=330:d=2.5:r=48000,aecho"]
    command += [*(["-map", "0", *video.split()] if video else []), *(["-map", "1", *audio.split()] if audio else [])]
    subprocess.run(
        [*command, "-video_track_timescale", "90000", str(path)] if container == "mp4" else [*command, str(path)],
        check=True,
    )
    tracks, frames = [], []
    with av.open(str(path)) as source:
        for stream in source.streams:
            context = stream.codec_context
            tracks.append(
                Track(
                    stream.index + 1,
                    CODECS[context.name],
                    config=bytes(context.extradata or b""),
                    sample_rate=getattr(context, "sample_rate", 0) or 0,
                    channels=getattr(context, "channels", 0) or 0,
                )
            )
        for packet in source.demux():
            if packet.time_base is not None and packet.dts is not None and packet.pts is not None:
                ticks = 90000 * packet.time_base
                flags = KEY if packet.is_keyframe and packet.stream.type == "video" else 0
                times = round(packet.dts * ticks), round(packet.pts * ticks)
                frames.append(Frame(packet.stream.index + 1, *times, flags, bytes(packet)))
    return Clip(path, tracks, frames)


def check_leads(seen: Transport, least_ms: int = 300) -> None:
    """By the newest PCR, a PES packet starts least_ms or more before its DTS and less than a second before its PTS."""
    modulus = 300 << 33
    for pes in seen.pes:
        assert (pes.dts * 300 - pes.pcr) % modulus >= least_ms * MS
        assert (pes.pts * 300 - pes.pcr) % modulus < 1000 * MS


def decoded(path: Path, stream: str) -> list[str]:
    """Digests of the decoded frames; ffmpeg has nothing to complain about."""
    command = [
        "ffmpeg",
        "-v",
        "warning",
        "-i",
        str(path),
        "-map",
        stream,
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return [line.split(",")[-1].strip() for line in run.stdout.splitlines() if not line.startswith("#")]


def test_clip_becomes_a_correct_transport_stream(clip: Clip, tmp_path: Path) -> None:
    ring = mux(clip.tracks, clip.frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, clip.tracks, clip.frames)
    check_leads(seen, least_ms=290)
    types = [(STREAM_TYPES[track.codec], FIRST_PID + index) for index, track in enumerate(clip.tracks)]
    assert [(stream_type, pid) for stream_type, pid, _ in pmt_streams(seen)] == types
    output = tmp_path / "out.ts"
    output.write_bytes(shared(ring))
    for track in clip.tracks:
        stream = "0:v" if track.kind is Kind.VIDEO else "0:a"
        got = decoded(output, stream)
        if track.kind is Kind.VIDEO:
            assert got == decoded(clip.path, stream)
        else:
            # Containers say the encoder's delay in different ways; the frames were compared bit for bit above.
            assert abs(len(got) - sum(frame.track == track.id for frame in clip.frames)) <= 2


def test_every_join_point_is_a_start(clip: Clip) -> None:
    """Lead-in material and what follows: for a receiver that comes new, and for one that is moved there."""
    ring = mux(clip.tracks, clip.frames)
    keys = key_spans(ring)
    has_video = any(track.kind is Kind.VIDEO for track in clip.tracks)
    if has_video:
        assert keys == [seq for seq, frame in enumerate(clip.frames) if frame.flags & KEY]
    else:
        times = [ring.span(seq)[3] for seq in keys]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(keys) >= 4
        assert all(400 * 90 <= gap <= 450 * 90 for gap in gaps)
    for key in keys:
        lead = ring.read_lead(key)
        assert len(lead) == 188 * (3 + len(clip.tracks))
        alone = parse(lead)
        assert sorted(alone.pids) == sorted(
            [PAT_PID, PMT_PID, SDT_PID, *(FIRST_PID + i for i in range(len(clip.tracks)))]
        )
        assert not alone.pes
        joined = parse(lead + shared(ring, key))
        assert joined.continuity_errors == 0
        start = parse(shared(ring, key))
        assert start.pids[:2] == [PAT_PID, PMT_PID]
        assert start.pcrs[0][0] == 2
        moved = parse(shared(ring, 0, key // 2) + lead + shared(ring, key))
        assert moved.continuity_errors == 0
    for seq in range(ring.head):
        assert seq in keys or ring.read_lead(seq) == b""


def test_without_the_lead_in_a_move_would_be_seen() -> None:
    ring = mux([VIDEO], video_frames(25, 3))
    assert parse(shared(ring, 0, 20) + shared(ring, 50)).continuity_errors > 0


@pytest.mark.parametrize("before_wrap_ms", [100, 310, 900])
def test_33_bit_wrap(clip: Clip, tmp_path: Path, before_wrap_ms: int) -> None:
    base = (1 << 33) - before_wrap_ms * 90
    frames = [Frame(f.track, f.dts + base, f.pts + base, f.flags, f.data) for f in clip.frames]
    ring = mux(clip.tracks, frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, clip.tracks, frames)
    assert {pes.dts >> 32 for pes in seen.pes} == ({0} if before_wrap_ms == 100 else {0, 1})
    assert {pcr // 300 >> 32 for _, pcr in seen.pcrs} == {0, 1}
    output = tmp_path / "out.ts"
    output.write_bytes(shared(ring))
    if clip.tracks[0].kind is Kind.VIDEO:
        assert decoded(output, "0:v") == decoded(clip.path, "0:v")


# Clock


@pytest.mark.parametrize("rate", [60, 50, 30000 / 1001, 25, 24, 15, 10, 5, 2, 1])
@pytest.mark.parametrize("audio", [False, True], ids=["alone", "with audio"])
def test_pcr_and_table_intervals(rate: float, audio: bool) -> None:
    start = 900_000
    streams = [video_frames(rate, 6, start)]
    if audio:
        streams.append(audio_frames(6, start))
    tracks = [VIDEO, AUDIO] if audio else [VIDEO]
    frames = interleave(*streams)
    seen = parse(shared(mux(tracks, frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    check_frames(seen, tracks, frames)
    check_leads(seen)


def test_a_gap_beyond_the_limit_is_one_step() -> None:
    frames = [*video_frames(25, 1), *video_frames(25, 1, start=90000 * 61)]
    seen = parse(shared(mux([VIDEO], frames)))
    steps = [b - a for (_, a), (_, b) in pairwise(seen.pcrs)]
    assert sum(step > 40 * MS for step in steps) == 1
    assert seen.pcrs[-1][1] == frames[-1].dts * 300


def _lowest_to_come(frames: Sequence[Frame]) -> list[int]:
    """For each frame the lowest DTS of it and all later ones."""
    lowest: list[int] = []
    for frame in reversed(frames):
        lowest.append(min(frame.dts, lowest[-1]) if lowest else frame.dts)
    return lowest[::-1]


@pytest.mark.parametrize("lag_ms", [0, 50, 280, 450, 690, 850])
@pytest.mark.parametrize("late", ["audio", "video"])
def test_pcr_waits_for_the_track_that_lags(lag_ms: int, late: str) -> None:
    """A track may be 900 ms late: the PCR passes none of its times, yet stays near the others."""
    shift = {late: lag_ms * 90}
    frames = sorted(
        [*video_frames(25, 4, 180000), *audio_frames(4, 180000)],
        key=lambda frame: frame.dts + shift.get("video" if frame.track == 5 else "audio", 0),
    )
    ring = mux([VIDEO, AUDIO], frames)
    lowest = _lowest_to_come(frames)
    newest, highest = 0, 0
    seen_late = False
    for seq, frame in enumerate(frames):
        newest = max(newest, frame.dts)
        seen_late = seen_late or (frame.track == 5) == (late == "video")
        for _, pcr in parse(shared(ring, 0, 1) + ring.read(seq)).pcrs:
            highest = max(highest, pcr)
        # Before the late track has come, nobody can know how late it is.
        if seen_late and lag_ms > 0:
            assert highest <= max((lowest[seq] + DELAY) * 300, frames[0].dts * 300 + lag_ms * 90 * 300 + 41 * MS)
        if seen_late and frame.dts == newest and lag_ms <= 690:
            assert (newest + DELAY) * 300 - highest <= 900 * MS
    check_clock_and_tables(parse(shared(ring)), pcr_ms=36)


def test_a_track_that_stops_is_not_waited_for() -> None:
    frames = interleave(video_frames(25, 8, 90000), audio_frames(1, 90000))
    seen = parse(shared(mux([VIDEO, AUDIO], frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    assert seen.pcrs[-1][1] == frames[-1].dts * 300
    frames = interleave(video_frames(25, 1, 90000), audio_frames(8, 90000))
    seen = parse(shared(mux([VIDEO, AUDIO], frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    assert seen.pcrs[-1][1] > frames[-1].dts * 300 - 20 * MS


def test_audio_first_then_video_still_starts_with_a_pcr() -> None:
    frames = [*audio_frames(0.1, 5000), *video_frames(25, 1, 14000), *audio_frames(0.1, 104000)]
    ring = mux([AUDIO, VIDEO], frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, [AUDIO, VIDEO], frames)
    assert key_spans(ring) == [4]


@pytest.mark.parametrize("delay_ms", [0, 40, 600])
def test_delay(delay_ms: int) -> None:
    frames = video_frames(25, 2, 90000)
    seen = parse(shared(mux([VIDEO], frames, delay_ms=delay_ms)))
    check_frames(seen, [VIDEO], frames, delay_ms * 90)
    check_leads(seen, delay_ms)


@pytest.mark.parametrize("delay_ms", [-1, 901])
def test_delay_out_of_range(delay_ms: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 900"):
        TsMuxer(Ring(), [VIDEO], TsOptions(decode_delay_ms=delay_ms))


# Frames


def test_times_outside_the_engine_are_malformed() -> None:
    ring = Ring()
    muxer = TsMuxer(ring, [AUDIO])
    for dts, pts in (((1 << 63) - 1, 0), (-(1 << 63), 0), (0, (1 << 63) - 1), (0, -(1 << 63))):
        muxer.write_frame(9, dts, pts, 0, b"\x21")
    assert (muxer.malformed, ring.head) == (4, 0)


def test_frames_of_other_tracks_are_passed_over() -> None:
    ring = mux([VIDEO], [Frame(77, 0, 0, KEY, b"\xff"), Frame(5, 0, 0, KEY, lengths(IDR))])
    assert ring.head == 1


def test_discontinuity_reaches_the_span() -> None:
    ring = mux([VIDEO], [Frame(5, 0, 0, KEY | DISCONTINUITY, lengths(IDR)), Frame(5, 3600, 3600, 0, lengths(SLICE))])
    assert [ring.span(seq)[4] for seq in range(2)] == [SPAN_KEY | SPAN_DISCONTINUITY, 0]


# Tracks and configs


def test_config_frame_replaces_the_config() -> None:
    other_pps = b"\x68\x5a\xcb"
    other_sps = b"\x67\x42\xc0\x1f\xd9\x05"
    config = bytearray(videoconfig.build_avcc([other_sps], [other_pps]))
    config[4] = 0xFD
    ring = Ring()
    muxer = TsMuxer(ring, [VIDEO, AUDIO])
    muxer.write_frame(5, 0, 0, KEY, lengths(IDR))
    muxer.write_frame(5, 3600, 3600, CONFIG, bytes(config))
    muxer.write_frame(9, 3600, 3600, CONFIG, aac.build_asc(2, 22050, 1))
    assert ring.head == 1
    muxer.write_frame(5, 3600, 3600, KEY, len(IDR).to_bytes(2, "big") + IDR)
    muxer.write_frame(9, 3600, 3600, 0, b"\x21\x22")
    seen = parse(shared(ring))
    assert seen.pes[1].payload == annexb([b"\x09\xf0", other_sps, other_pps, IDR])
    assert seen.pes[2].payload == aac.build_adts(aac.build_asc(2, 22050, 1), 2) + b"\x21\x22"
    for track, damaged in ((5, config[:-3]), (5, b""), (9, b"\xff"), (9, aac.build_asc(42, 48000, 2))):
        with pytest.raises(MediaError, match=rf"^track {track} \((H264|AAC)\): "):
            muxer.write_frame(track, 7200, 7200, CONFIG, bytes(damaged))
    muxer.write_frame(5, 7200, 7200, KEY, len(IDR).to_bytes(2, "big") + IDR)
    assert parse(ring.read(3)).pes[0].payload == seen.pes[1].payload


REFUSED = {
    "AV1": ([Track(4, Codec.AV1)], r"track 4 \(AV1\): MPEG-TS output carries H264, HEVC, AAC"),
    "FLAC": ([VIDEO, Track(4, Codec.FLAC)], r"track 4 \(FLAC\)"),
    "Opus of many": ([Track(4, Codec.OPUS, channels=9)], r"track 4 \(OPUS\): expected 1 to 8 channels, got 9"),
    "splice alone": ([Track(4, Codec.SCTE35, config=b"\x86")], "splice information alone"),
    "AMF data": ([VIDEO, Track(4, Codec.AMF)], r"track 4 \(AMF\)"),
    "no config": ([Track(4, Codec.H264)], r"track 4 \(H264\): avcC ends early"),
    "no AudioSpecificConfig": ([Track(4, Codec.AAC)], r"track 4 \(AAC\): AudioSpecificConfig ends early"),
    "AAC with a PCE": (
        [Track(4, Codec.AAC, config=aac.build_asc(2, 48000, 0))],
        r"track 4 \(AAC\): .*configurations 1 to 7",
    ),
    "nothing": ([], "one or more tracks"),
    "one id twice": ([VIDEO, Track(5, Codec.AAC, config=AUDIO.config)], "distinct ids"),
    "33 audio tracks": ([Track(i, Codec.AAC, config=AUDIO.config) for i in range(33)], r"track 32 \(AAC\): at most 32"),
    "PMT too long": ([Track(i, Codec.AC3) for i in range(100)], "table 0x02 needs 1113 bytes, at most 1021"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_tracks(name: str) -> None:
    tracks, words = REFUSED[name]
    with pytest.raises(MediaError, match=words):
        TsMuxer(Ring(), tracks)


def test_many_tracks_need_a_pmt_of_several_packets() -> None:
    audios = [Track(20 + index, Codec.EAC3 if index % 2 else Codec.AAC, config=AUDIO.config) for index in range(30)]
    tracks = [*audios, VIDEO]
    frames = interleave(video_frames(25, 1), *[audio_frames(1, track=track.id) for track in audios])
    seen = parse(shared(mux(tracks, frames)))
    assert seen.continuity_errors == 0
    assert crc32(seen.sections[PMT_PID][0][1]) == 0
    expected = [(0x1B, FIRST_PID, b"")]
    for index in range(30):
        row = (0x87, b"\x05\x04EAC3") if index % 2 else (0x0F, b"")
        expected.append((row[0], FIRST_PID + 1 + index, row[1]))
    assert pmt_streams(seen) == expected
    assert sorted({pes.stream_id for pes in seen.pes}) == [0xBD, *range(0xC0, 0xCF), 0xE0]


def test_two_videos_have_one_clock_and_one_key() -> None:
    frames = interleave(
        video_frames(25, 2), [Frame(6, f.dts, f.pts, KEY, lengths(b"\x26\x01\xaf")) for f in video_frames(25, 2)]
    )
    ring = mux([HEVC, VIDEO], frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    assert {frames[seq].track for seq in key_spans(ring)} == {5}
    assert {(pes.pid, pes.stream_id) for pes in seen.pes} == {(FIRST_PID, 0xE0), (FIRST_PID + 1, 0xE1)}


def test_another_pmt_has_another_version() -> None:
    versions = set()
    for tracks in ([VIDEO], [VIDEO, AUDIO], [AUDIO]):
        frame = Frame(tracks[0].id, 0, 0, KEY, lengths(IDR))
        versions.add(parse(shared(mux(tracks, [frame]))).sections[PMT_PID][0][1][5])
    assert len(versions) == 3
    assert all(version & 0xC1 == 0xC1 for version in versions)


@pytest.mark.parametrize(
    ("service", "coded"), [("Studio 3", b"\x08Studio 3"), ("Übung", b"\x07\x15" + "Übung".encode())]
)
def test_service_name(service: str, coded: bytes) -> None:
    ring = Ring()
    TsMuxer(ring, [AUDIO], TsOptions(service_name=service)).write_frame(9, 0, 0, 0, b"\x21")
    section = parse(ring.read(0)).sections[SDT_PID][0][1]
    assert section.endswith(coded + section[-4:])


def test_service_name_too_long() -> None:
    with pytest.raises(ValueError, match="at most 200"):
        TsMuxer(Ring(), [AUDIO], TsOptions(service_name="x" * 201))


@given(
    st.lists(
        st.tuples(st.sampled_from([5, 6, 9]), st.integers(-90 * 250, 90 * 250), st.integers(1, 2000), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 40000),
)
@settings(deadline=None, max_examples=100)
def test_any_interleaving(steps: list[tuple[int, int, int, bool]], start: int) -> None:
    """Whatever order tracks arrive in: packets and access units are whole, the PCR grows, every key is a start."""
    frames, now = [], {5: start, 6: start, 9: start}
    clock = start
    for track, jitter, size, key in steps:
        clock += 1800
        now[track] = max(now[track] + 1, clock + jitter)
        body = {5: b"\x65" if key else b"\x41", 6: b"\x26\x01" if key else b"\x02\x01", 9: b"\x21"}[
            track
        ] + b"\x77" * size
        data = body if track == 9 else lengths(body)
        frames.append(Frame(track, now[track], now[track] + size, KEY if key else 0, data))
    tracks = [VIDEO, HEVC, AUDIO]
    ring = mux(tracks, frames)
    seen = parse(shared(ring))
    assert seen.continuity_errors == 0
    by_id = {track.id: track for track in tracks}
    assert [pes.payload for pes in seen.pes] == [expected_payload(by_id[frame.track], frame) for frame in frames]
    pcrs = unwrap((pcr for _, pcr in seen.pcrs), 300 << 33)
    assert all(a < b for a, b in pairwise(pcrs))
    for seq in key_spans(ring):
        assert parse(ring.read_lead(seq) + shared(ring, seq)).continuity_errors == 0
