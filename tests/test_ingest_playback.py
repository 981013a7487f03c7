"""The file source: what a clip's frames become, how laps join, and how it plays into a stream in real time."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import pytest

from pushcast import aac, nal, sps, videoconfig
from pushcast.errors import MediaError
from pushcast.ingest.demux import CLOCK_HZ, FRAME_CONFIG, FRAME_DISCONTINUITY, FRAME_KEY, Clip, ClipFrame
from pushcast.ingest.play import _Pace
from pushcast.ingest.playback import REORDER_TICKS, Playback
from pushcast.media import Codec

SECONDS = 2
FRAME_TICKS = CLOCK_HZ // 25


def ffmpeg(*arguments: str | Path) -> None:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, check=True, timeout=60, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One programme (B-frames, AAC at 44.1 kHz) in every container, and some odd ones."""
    folder = tmp_path_factory.mktemp("clips")
    picture = ("-f", "lavfi", "-i", "testsrc2=size=192x108:rate=25")
    tone = ("-f", "lavfi", "-i", "sine=frequency=330:sample_rate=44100")
    x264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-b:v", "200k")
    ffmpeg(*picture, *tone, "-t", str(SECONDS), *x264, "-c:a", "aac", "-ac", "2", folder / "h264.mp4")
    for container in ("ts", "flv", "mkv"):
        ffmpeg("-i", folder / "h264.mp4", "-c", "copy", folder / f"h264.{container}")
    x265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:bframes=2", "-g", "25")
    ffmpeg(*picture, "-t", "1", *x265, folder / "hevc.mp4")
    ffmpeg("-i", folder / "hevc.mp4", "-c", "copy", folder / "hevc.ts")
    ffmpeg(*tone, "-t", "1", "-c:a", "aac", folder / "audio.ts")
    ffmpeg(*picture, *tone, "-t", "1", *x264, "-c:a", "pcm_s16le", folder / "odd.mkv")
    ffmpeg(*tone, "-t", "1", "-c:a", "pcm_s16le", folder / "nothing.wav")
    return folder


def frames_of(path: Path) -> tuple[Clip, list[ClipFrame]]:
    clip = Clip(path)
    frames = list(clip.frames())
    clip.close()
    return clip, frames


def read_until(playback: Playback, ticks: int) -> list[ClipFrame]:
    frames = playback.read()
    while batch := playback.read():
        frames += batch
        if frames[-1].dts - frames[0].dts >= ticks:
            break
    return frames


def of_track(frames: list[ClipFrame], track: int) -> list[ClipFrame]:
    return [frame for frame in frames if frame.track == track]


@pytest.mark.parametrize("container", ["mp4", "ts", "flv", "mkv"])
def test_tracks(clips: Path, container: str) -> None:
    clip, frames = frames_of(clips / f"h264.{container}")
    video, audio = clip.tracks
    assert (video.id, video.codec, video.width, video.height, video.frame_rate) == (0, Codec.H264, 192, 108, 25.0)
    assert (audio.id, audio.codec, audio.sample_rate, audio.channels) == (1, Codec.AAC, 44100, 2)
    assert videoconfig.parse_avcc(video.config).length_size == 4
    assert aac.parse_asc(audio.config).sample_rate == 44100
    assert clip.left_out == []
    assert clip.damaged == 0
    assert len(of_track(frames, 0)) == SECONDS * 25
    assert [bool(frame.flags & FRAME_KEY) for frame in of_track(frames, 0)] == ([True] + [False] * 24) * SECONDS
    assert all(frame.pts >= frame.dts for frame in frames)
    assert any(frame.pts > frame.dts for frame in frames), "the clip has B-frames"


def test_every_container_gives_the_same_frames(clips: Path) -> None:
    def essence(container: str) -> tuple[list[list[bytes]], list[bytes], list[int]]:
        _, frames = frames_of(clips / f"h264.{container}")
        slices = [
            [unit for unit in nal.split_lengths(frame.data, 4) if nal.nal_unit_type(Codec.H264, unit) in {1, 5}]
            for frame in of_track(frames, 0)
        ]
        video = of_track(frames, 0)
        return slices, [frame.data for frame in of_track(frames, 1)], [frame.pts - frame.dts for frame in video]

    whole = essence("mp4")
    assert all(whole[0])
    for container in ("ts", "flv", "mkv"):
        assert essence(container) == whole, container


@pytest.mark.parametrize("container", ["mp4", "ts", "flv"])
def test_times_are_the_files_own(clips: Path, container: str) -> None:
    path = clips / f"h264.{container}"
    _, frames = frames_of(path)
    with av.open(str(path)) as opened:
        packets = [packet for packet in opened.demux() if packet.size]
    for track in (0, 1):
        exact = [
            (Fraction(packet.dts * packet.time_base * CLOCK_HZ), Fraction(packet.pts * packet.time_base * CLOCK_HZ))
            for packet in packets
            if packet.stream_index == track
        ]
        found = [(frame.dts, frame.pts) for frame in of_track(frames, track)]
        assert len(found) == len(exact)
        for (dts, pts), (exact_dts, exact_pts) in zip(found, exact, strict=True):
            assert abs(dts - exact_dts) <= Fraction(1, 2)
            assert abs(pts - exact_pts) <= Fraction(1, 2)


def test_missing_dts_are_counted_back(clips: Path) -> None:
    with av.open(str(clips / "h264.mkv")) as opened:
        assert next(opened.demux(video=0)).dts is None
    _, frames = frames_of(clips / "h264.mkv")
    dts = [frame.dts for frame in of_track(frames, 0)]
    assert {after - before for before, after in pairwise(dts)} == {FRAME_TICKS}


def test_hevc(clips: Path) -> None:
    for container in ("mp4", "ts"):
        clip, frames = frames_of(clips / f"hevc.{container}")
        assert [track.codec for track in clip.tracks] == [Codec.HEVC]
        assert videoconfig.parse_hvcc(clip.tracks[0].config).length_size == 4
        assert nal.is_keyframe(Codec.HEVC, 4, frames[0].data)
        assert len(frames) == 25


def test_other_codecs_are_left_out(clips: Path) -> None:
    clip = Clip(clips / "odd.mkv")
    clip.close()
    assert [track.codec for track in clip.tracks] == [Codec.H264]
    assert clip.left_out == ["audio stream 1 (pcm_s16le): pushcast does not carry this codec"]


@pytest.mark.parametrize("container", ["mp4", "ts", "flv", "mkv"])
def test_laps_join_without_a_break(clips: Path, container: str) -> None:
    playback = Playback(clips / f"h264.{container}", loop=True)
    frames = read_until(playback, 3 * SECONDS * CLOCK_HZ)
    playback.close()
    assert [frame.dts for frame in frames] == sorted(frame.dts for frame in frames)
    lap_frames = {track: len(of_track(frames_of(clips / f"h264.{container}")[1], track)) for track in (0, 1)}
    laps = []
    for track in (0, 1):
        mine = of_track(frames, track)
        steps = [after.dts - before.dts for before, after in pairwise(mine)]
        assert min(steps) > 0
        # At most two audio frames of priming and rounding beyond one frame.
        assert max(steps) <= FRAME_TICKS + 2 * 1024 * CLOCK_HZ // 44100 + 90
        laps.append(mine[lap_frames[track]].dts - mine[0].dts)
        assert mine[lap_frames[track]].data == mine[0].data
        assert mine[lap_frames[track]].pts - mine[lap_frames[track]].dts == mine[0].pts - mine[0].dts
    assert laps[0] == laps[1], "both tracks moved by the same time"
    assert laps[0] % 90 == 0
    assert not any(frame.flags & (FRAME_CONFIG | FRAME_DISCONTINUITY) for frame in frames)


def test_a_clip_that_does_not_loop_ends(clips: Path) -> None:
    playback = Playback(clips / "h264.ts", loop=False)
    count = 0
    while batch := playback.read():
        assert batch[-1].dts - batch[0].dts <= CLOCK_HZ
        count += len(batch)
    assert count == len(frames_of(clips / "h264.ts")[1])
    assert playback.read() == []
    playback.close()


def test_a_cut_inside_a_recording_is_closed(clips: Path, tmp_path: Path) -> None:
    later = tmp_path / "later.ts"
    ffmpeg("-i", clips / "h264.ts", "-c", "copy", "-output_ts_offset", "3600", later)
    joined = tmp_path / "joined.ts"
    joined.write_bytes((clips / "h264.ts").read_bytes() + later.read_bytes())
    playback = Playback(joined, loop=False)
    frames = read_until(playback, 100 * CLOCK_HZ)
    playback.close()
    assert frames[-1].dts - frames[0].dts < (2 * SECONDS + 1) * CLOCK_HZ
    assert any(frame.flags & FRAME_DISCONTINUITY for frame in frames)
    video = of_track(frames, 0)
    assert all(after.dts > before.dts for before, after in pairwise(video))


def test_other_parameter_sets_in_the_middle_are_announced(clips: Path, tmp_path: Path) -> None:
    larger = tmp_path / "larger.ts"
    # The same programme again, encoded at another size, right behind the first.
    ffmpeg("-i", clips / "h264.ts", "-vf", "scale=320:180", "-c:v", "libx264", "-preset", "ultrafast",
           "-c:a", "copy", "-output_ts_offset", str(SECONDS), larger)  # fmt: skip
    joined = tmp_path / "joined.ts"
    joined.write_bytes((clips / "h264.ts").read_bytes() + larger.read_bytes())
    playback = Playback(joined, loop=True)
    frames = read_until(playback, 5 * SECONDS * CLOCK_HZ)
    playback.close()
    configs = [frame for frame in frames if frame.flags & FRAME_CONFIG]
    sizes = [sps.sps_info(Codec.H264, videoconfig.parse_avcc(frame.data).sps[0])[:2] for frame in configs]
    # The second lap announces the first size again.
    assert sizes[:3] == [(320, 180), (192, 108), (320, 180)]
    for config in configs[:3]:
        after = next(frame for frame in frames[frames.index(config) + 1 :] if frame.track == config.track)
        assert after.flags & FRAME_KEY


def test_tracks_far_apart_leave_in_order(clips: Path, tmp_path: Path) -> None:
    spread = tmp_path / "spread.mkv"
    ffmpeg("-i", clips / "h264.mp4", "-c", "copy", "-max_interleave_delta", "0", "-cluster_time_limit", "900", spread)
    playback = Playback(spread, loop=False)
    frames = read_until(playback, 100 * CLOCK_HZ)
    playback.close()
    assert [frame.dts for frame in frames] == sorted(frame.dts for frame in frames)
    assert REORDER_TICKS == CLOCK_HZ


def _truncated(clips: Path, folder: Path) -> Path:
    path = folder / "truncated.mp4"
    path.write_bytes((clips / "h264.mp4").read_bytes()[:2000])
    return path


def _garbage(clips: Path, folder: Path) -> Path:
    path = folder / "garbage.ts"
    path.write_bytes(bytes(range(256)) * 200)
    return path


def _folder(clips: Path, folder: Path) -> Path:
    return folder


def _absent(clips: Path, folder: Path) -> Path:
    return folder / "absent.mp4"


def _wave(clips: Path, folder: Path) -> Path:
    return clips / "nothing.wav"


def _empty(clips: Path, folder: Path) -> Path:
    (folder / "empty.flv").touch()
    return folder / "empty.flv"


def _playlist(clips: Path, folder: Path) -> Path:
    path = folder / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:1/a.ts\n#EXT-X-ENDLIST\n")
    return path


BAD_FILES = [
    (_absent, r"absent\.mp4 cannot be opened: No such file or directory"),
    (_folder, r"is not a regular file"),
    (_truncated, r"truncated\.mp4 is no media file"),
    (_garbage, r"garbage\.ts is no media file|no track that pushcast can carry"),
    (_empty, r"empty\.flv is no media file"),
    (_wave, r"no track that pushcast can carry \(audio stream 0 \(pcm_s16le\): pushcast does not carry this codec\)"),
    (_playlist, r"is no media file|no track|cannot be opened"),
]


@pytest.mark.parametrize(("make", "words"), BAD_FILES)
def test_a_file_that_cannot_be_played(clips: Path, tmp_path: Path, make, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MediaError, match=words):
        Clip(make(clips, tmp_path))


def test_damage_costs_the_damaged_frames(clips: Path, tmp_path: Path) -> None:
    content = bytearray((clips / "h264.ts").read_bytes())
    for packet in range(60, len(content) // 188, 17):
        content[packet * 188 + 20 : packet * 188 + 120] = bytes(100)
    damaged = tmp_path / "damaged.ts"
    damaged.write_bytes(content)
    playback = Playback(damaged, loop=True)
    frames = read_until(playback, 2 * SECONDS * CLOCK_HZ)
    playback.close()
    assert len(of_track(frames, 0)) > SECONDS * 25
    for track in (0, 1):
        mine = of_track(frames, track)
        assert all(after.dts > before.dts for before, after in pairwise(mine))


def test_pace_is_absolute_and_gives_up_what_a_stall_lost() -> None:
    pace = _Pace(100.0, 7 * CLOCK_HZ)
    assert pace.wait_s(7 * CLOCK_HZ, 100.0) == 0
    assert pace.wait_s(8 * CLOCK_HZ, 100.25) == pytest.approx(0.75)
    assert pace.wait_s(8 * CLOCK_HZ, 101.4) == pytest.approx(-0.4), "a short delay is caught up"
    assert pace.wait_s(9 * CLOCK_HZ, 105.0) == 0, "a long one moves every deadline after it"
    assert pace.wait_s(10 * CLOCK_HZ, 105.0) == pytest.approx(1.0)
