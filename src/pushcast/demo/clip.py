"""The demo's clip: made once with ffmpeg, kept beside the state."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pushcast.errors import EngineError

FILE_NAME = "720p25-2500k.mp4"  # says what is in it: a clip of other properties gets another name
SECONDS = 8


def make_clip(folder: Path) -> Path:
    """The clip in ``folder``, made if it is not there yet: 720p25, H.264 2.5 Mbit/s with 1 s GOPs, AAC 128 kbit/s.

    :raises EngineError: ffmpeg is missing or fails.
    """
    path = folder / FILE_NAME
    if path.exists():
        return path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{os.getpid()}.{FILE_NAME}"
    picture = ["-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=25"]
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000"]
    video = ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-g", "25", "-keyint_min", "25"]
    rate = [
        "-b:v",
        "2500k",
        "-minrate",
        "2500k",
        "-maxrate",
        "2500k",
        "-bufsize",
        "2500k",
        "-x264-params",
        "nal-hrd=cbr",
    ]
    audio = ["-c:a", "aac", "-b:a", "128k", "-ac", "2"]
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *picture, *tone, "-t", str(SECONDS), *video, *rate, *audio]
    try:
        subprocess.run([*command, str(draft)], check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        draft.rename(path)
    except FileNotFoundError as error:
        raise EngineError("the demo makes its clip with ffmpeg, which is not installed") from error
    except subprocess.CalledProcessError as error:
        raise EngineError(f"ffmpeg could not make the demo's clip: {error.stderr.strip()}") from error
    finally:
        draft.unlink(missing_ok=True)
    return path
