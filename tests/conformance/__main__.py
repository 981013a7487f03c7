"""`python -m conformance [OUTPUT]`: every cell, and the page that shows them.  Exit code 1 when one does not hold."""

from __future__ import annotations

import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from conformance.matrix import CLIPS, INPUTS, OUTPUTS, Clip, cell, cells
from conformance.run import make_clip, run

AT_ONCE = 3


def main() -> int:
    pairs = [(input, clip) for clip in CLIPS for input in INPUTS if input in clip.inputs]
    results: dict[tuple[str, str, str], str] = {}
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(AT_ONCE) as pool:
        for clip in CLIPS:
            make_clip(clip, Path(folder))

        def one(pair: tuple[str, Clip]) -> tuple[str, Clip, dict[str, str]]:
            input, clip = pair
            own = Path(folder) / f"{input}-{clip.name}"
            own.mkdir()
            try:
                return input, clip, run(input, clip, own)
            except Exception as error:  # one pair that breaks must not hide the others
                return input, clip, dict.fromkeys(OUTPUTS, f"{type(error).__name__}: {error}"[:300])

        for input, clip, found in pool.map(one, pairs):
            wrong = {output: why for output, why in found.items() if why}
            print(f"{input:7} {clip.name:10} {wrong if wrong else 'holds'}", flush=True)
            results |= {(input, clip.name, output): why for output, why in found.items()}
    failed = sum(bool(why) for why in results.values())
    page = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[2] / "docs" / "media.md"
    page.write_text(_page(results))
    print(f"{len(results)} cells, {failed} do not hold; {page}")
    return 1 if failed else 0


HEAD = """# Media: every input, every codec, every output

Made by `make conformance`, which runs each of these cells: a clip is published, and each output is recorded by
libavformat.

- *same*: every packet of the track has the hash of the one that was published, and all times have one distance to the
  published ones: to the tick where a transport stream comes out, within 1 ms where RTMP does, which has whole
  milliseconds (1.5 ms with `always`, whose nanoseconds libavformat does not add).
- *left out*: the output cannot carry the track, and `skippedTracks` of the push says so.
- *refused*: nothing is left; the push is in `error` with that reason, and does not try again before another stream
  comes.

H.264 and HEVC are compared unit by unit, without delimiters and parameter sets, which stand in the frames of one
container and beside them in another; AAC without ADTS and LATM. A stream with video begins with a keyframe; a sound
that came before it (in a transport stream also one of its own time) does not go out.
"""


def _page(results: dict[tuple[str, str, str], str]) -> str:
    lines = [HEAD, "| In | Video, audio | " + " | ".join(OUTPUTS) + " |", "|---" * (2 + len(OUTPUTS)) + "|"]
    for clip in CLIPS:
        for input in (each for each in INPUTS if each in clip.inputs):
            shown = [_shown(input, clip, output, results[input, clip.name, output]) for output in OUTPUTS]
            lines.append(f"| {input} | {', '.join(filter(None, clip.names))} | {' | '.join(shown)} |")
    total, held = len(cells()), sum(not why for why in results.values())
    lines += ["", f"{total} cells, {held} of them hold.", "", "## Why a track is left out", ""]
    reasons = sorted({why for each in cells() for why in each.refused.values()})
    lines += [f"- {why}" for why in reasons]
    lines += [
        "",
        "MP2 does not come in over RTMP, and AV1, VP9 and FLAC not in transport streams: those have no place for them.",
        "",
    ]
    return "\n".join(lines)


def _shown(input: str, clip: Clip, output: str, why: str) -> str:
    if why:
        return f"**{why}**"
    found = cell(input, clip, output)
    if not found.carried:
        return "refused"
    return (
        "same" if not found.refused else f"{' and '.join(found.carried)} same, {' and '.join(found.refused)} left out"
    )


if __name__ == "__main__":
    sys.exit(main())
