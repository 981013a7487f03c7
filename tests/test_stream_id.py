"""Stream ids as encoders send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcast.ingest.stream_id import BAD_MODE, BAD_REQUEST, BadStreamId, parse_stream_id

# (vhost, host, app, stream, parameters)
TAKEN = {
    "app/stream": ("", "", "app", "stream", {}),
    "/app/stream/": ("", "", "app", "stream", {}),
    "default/app/stream": ("default", "", "app", "stream", {}),
    "app/stream?key=k%26y&x=": ("", "", "app", "stream", {"key": "k", "y": "", "x": ""}),
    "#!::r=app/stream,m=publish": ("", "", "app", "stream", {}),
    "#!::h=live.example.com,r=app/stream,m=publish,u=me,s=7": (
        "",
        "live.example.com",
        "app",
        "stream",
        {"u": "me", "s": "7"},
    ),
    "#!::m=publish,r=default/app/stream?token=t": ("default", "", "app", "stream", {"token": "t"}),
    "#!::r=app/stream": ("", "", "app", "stream", {}),
    "#!::r=app/stream,m=bidirectional,t=stream": ("", "", "app", "stream", {}),
    "%23!::r%3Dapp%2Fstream%2Cm%3Dpublish": ("", "", "app", "stream", {}),
    "srt://live.example.com:9999/app/stream": ("", "live.example.com", "app", "stream", {}),
    "srt%3A%2F%2Flive.example.com%3A9999%2Fapp%2Fstream": ("", "live.example.com", "app", "stream", {}),
    "srt://h/app/stream?policy=p&signature=s": ("", "h", "app", "stream", {"policy": "p", "signature": "s"}),
    "publish:app/stream": ("", "", "app", "stream", {}),
    "publish:app/stream:me:secret": ("", "", "app", "stream", {"user": "me", "pass": "secret"}),
    "app%2Fstream": ("", "", "app", "stream", {}),
    "app/str\u00f6m": ("", "", "app", "str\u00f6m", {}),
}


@pytest.mark.parametrize("text", TAKEN)
def test_what_is_taken(text: str) -> None:
    found = parse_stream_id(text)
    assert (found.vhost, found.host, found.app, found.name, dict(found.parameters)) == TAKEN[text]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", BAD_REQUEST),
        ("stream", BAD_REQUEST),
        ("a/b/c/d", BAD_REQUEST),
        ("//", BAD_REQUEST),
        ("app/\x07", BAD_REQUEST),
        ("a/" + "b" * 600, BAD_REQUEST),
        ("#!::m=publish", BAD_REQUEST),
        ("#!{r=app/stream}", BAD_REQUEST),
        ("#!::r=app/stream,m=request", BAD_MODE),
        ("read:app/stream", BAD_MODE),
        ("srt://[/app/stream", BAD_REQUEST),
        ("srt://h/stream", BAD_REQUEST),
    ],
)
def test_what_is_not(text: str, code: int) -> None:
    with pytest.raises(BadStreamId) as refused:
        parse_stream_id(text)
    assert refused.value.code == code


def test_secrets_are_not_shown() -> None:
    assert "hush" not in repr(parse_stream_id("app/s?token=hush"))


@given(st.text(max_size=80))
def test_anything_is_taken_or_refused(text: str) -> None:
    try:
        found = parse_stream_id(text)
    except BadStreamId:
        return
    assert found.app
    assert found.name
