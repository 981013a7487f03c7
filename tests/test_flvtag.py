"""FLV tags and enhanced RTMP tags: one table that says what they hold, taken whole, cut short, and with a tail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcast.flvtag import tags

CONFIG, FRAME, END, METADATA, COMMAND = 0, 1, 2, 4, 16


def tag(fourcc: bytes, kind: int, body: bytes, **more: object) -> dict[str, object]:
    usual = {"track_id": 0, "key": True, "composition_ms": 0, "nanos": 0}
    return {**usual, "fourcc": fourcc, "kind": kind, "body": body, **more}


# (video, message, its tracks)
TAGS = {
    "H.264 header": (True, b"\x17\0\0\0\0avcC", [tag(b"avc1", CONFIG, b"avcC")]),
    "H.264 frame": (True, b"\x27\1\xff\xff\xfeunits", [tag(b"avc1", FRAME, b"units", key=False, composition_ms=-2)]),
    "H.264 end": (True, b"\x17\2\0\0\0", [tag(b"avc1", END, b"")]),
    "a command": (True, b"\x57\0", [tag(b"avc1", COMMAND, b"\0", key=False)]),
    "AAC header": (False, b"\xaf\0\x11\x90", [tag(b"mp4a", CONFIG, b"\x11\x90")]),
    "AAC frame": (False, b"\xaf\1sound", [tag(b"mp4a", FRAME, b"sound")]),
    "MP3": (False, b"\x2f\xff\xfbsound", [tag(b".mp3", FRAME, b"\xff\xfbsound")]),
    "HEVC header": (True, b"\x90hvc1hvcC", [tag(b"hvc1", CONFIG, b"hvcC")]),
    "HEVC frame": (True, b"\xa1hvc1\0\0\x28units", [tag(b"hvc1", FRAME, b"units", key=False, composition_ms=40)]),
    "HEVC without composition": (True, b"\x93hvc1units", [tag(b"hvc1", FRAME, b"units")]),
    "AV1 frame": (True, b"\x91av01units", [tag(b"av01", FRAME, b"units")]),
    "HDR": (True, b"\x94hvc1\x02\0\x09colorInfo", [tag(b"hvc1", METADATA, b"\x02\0\x09colorInfo")]),
    "a command of today": (True, b"\xd1\1", [tag(b"\0\0\0\0", COMMAND, b"\1", key=False)]),
    "Opus": (False, b"\x91Opussound", [tag(b"Opus", FRAME, b"sound")]),
    "channels": (False, b"\x94Opus\1\6", [tag(b"Opus", METADATA, b"\1\6")]),
    "nanoseconds": (False, b"\x97\2\x01\x86\xa0\x01mp4asound", [tag(b"mp4a", FRAME, b"sound", nanos=100_000)]),
    "too many nanoseconds": (False, b"\x97\2\xff\xff\xff\x01mp4as", [tag(b"mp4a", FRAME, b"s", nanos=999_999)]),
    "a long ModEx, and another": (
        True,
        b"\x97\xff\x01\x2b" + bytes(300) + b"\x17\2\0\0\7\x01av01units",
        [tag(b"av01", FRAME, b"units", nanos=7)],
    ),
    "one further track": (False, b"\x95\x01mp4a\3sound", [tag(b"mp4a", FRAME, b"sound", track_id=3)]),
    "a further video": (
        True,
        b"\xa6\x01hvc1\2\0\0\1u",
        [tag(b"hvc1", FRAME, b"u", key=False, track_id=2, composition_ms=1)],
    ),
    "many tracks": (
        False,
        b"\x95\x11mp4a\0\0\0\1a\1\0\0\2bb",
        [tag(b"mp4a", FRAME, b"a"), tag(b"mp4a", FRAME, b"bb", track_id=1)],
    ),
    "many codecs": (
        False,
        b"\x95\x21mp4a\0\0\0\1aOpus\1\0\0\2bb",
        [tag(b"mp4a", FRAME, b"a"), tag(b"Opus", FRAME, b"bb", track_id=1)],
    ),
    "nothing": (True, b"", []),
}


@pytest.mark.parametrize("name", TAGS)
def test_what_they_hold(name: str) -> None:
    video, message, found = TAGS[name]
    assert tags(video, message) == found


@pytest.mark.parametrize("name", TAGS)
def test_cut_short_they_are_refused_or_hold_less(name: str) -> None:
    video, message, whole = TAGS[name]
    for size in range(len(message)):
        found = tags(video, message[:size])
        if isinstance(found, list):
            assert sum(len(each["body"]) for each in found) <= sum(len(str(each["body"])) for each in whole) + size


@pytest.mark.parametrize(
    ("video", "message", "found"),
    [
        (True, b"\x12\0", 2),
        (True, b"\x1c\0\0\0\0", 12),
        (False, b"\x1f", 1),
        (True, b"\x17\3\0\0\0", None),
        (False, b"\x95\x31mp4a\0s", None),
        (True, b"\x96\x06hvc1\0s", None),
        (True, b"\x96\x07hvc1\0s", None),
        (False, b"\x95\x05mp4a\0s", None),
        (False, b"\x95\x11mp4a\0\0\0\x09a", None),
        (True, b"\x91hvc1\0", None),
        (True, b"\x97\xff", None),
    ],
)
def test_what_cannot_be_read(video: bool, message: bytes, found: int | None) -> None:
    assert tags(video, message) == found


@given(st.booleans(), st.binary(max_size=300))
def test_anything_is_taken_or_refused(video: bool, message: bytes) -> None:
    found = tags(video, message)
    if isinstance(found, list):
        assert all(each["body"] in message for each in found)


_TRACKS = st.lists(
    st.tuples(st.sampled_from([b"mp4a", b"Opus", b"fLaC"]), st.integers(0, 255), st.binary(max_size=80)), min_size=1
)


@given(_TRACKS, st.lists(st.integers(0, 999_999), max_size=3))
def test_any_tracks_come_back(tracks: list[tuple[bytes, int, bytes]], nanos: list[int]) -> None:
    """Many tracks of many codecs, behind as many ModEx as there are: the last one counts."""
    message = b"\x97" if nanos else b"\x95"
    for number, each in enumerate(nanos, 1):
        message += b"\x02" + each.to_bytes(3, "big") + (b"\x07" if number < len(nanos) else b"\x05")
    message += b"\x21"
    for fourcc, track_id, body in tracks:
        message += fourcc + bytes((track_id,)) + len(body).to_bytes(3, "big") + body
    expected = [
        tag(fourcc, FRAME, body, track_id=track_id, nanos=nanos[-1] if nanos else 0)
        for fourcc, track_id, body in tracks
    ]
    assert tags(False, message) == expected
