"""Which pages may use the API: origins, credentials, and headers that a request cannot forge."""

from __future__ import annotations

from pathlib import Path

import pytest

from pushcast.api.cors import METHODS, Cors
from pushcast.config import load_config
from pushcast.errors import ConfigError

ORIGINS = ["https://a.example", "http://*.b.example:8080", "https://Upper.Example:443", "http://[2001:db8::7]:81"]


@pytest.mark.parametrize(
    ("origin", "known"),
    [
        ("https://a.example", True),
        ("http://a.example", False),
        ("https://a.example:8443", False),
        ("https://a.example:443", True),
        ("https://a.example/", False),
        ("https://a.example.evil", False),
        ("https://evil-a.example", False),
        ("https://sub.a.example", False),
        ("http://x.b.example:8080", True),
        ("http://x.y.b.example:8080", True),
        ("http://b.example:8080", False),
        ("http://xb.example:8080", False),
        ("http://x.b.example", False),
        ("http://x.b.example:80", False),
        ("https://x.b.example:8080", False),
        ("http://evil/.b.example:8080", False),
        ("http://evil?.b.example:8080", False),
        ("http://evil#.b.example:8080", False),
        ("http://evil@.b.example:8080", False),
        ("http://evil:1.b.example:8080", False),
        ("http://*.b.example:8080", False),
        ("https://upper.example", True),
        ("http://[2001:db8::7]:81", True),
        ("http://[2001:db8::8]:81", False),
        ("null", False),
        ("*", False),
        ("", False),
        ("https://a.example\r\nSet-Cookie: x", False),
        ("https://a.example\n", False),
        ("https://a.example, https://evil", False),
    ],
)
def test_origins(origin: str, known: bool) -> None:
    plain = Cors(ORIGINS).headers(origin, None, preflight=False)
    expected = {"Access-Control-Allow-Origin": origin, "Access-Control-Allow-Credentials": "true"} if known else {}
    assert plain == {"Vary": "Origin", **expected}
    preflight = Cors(ORIGINS).headers(origin, "authorization", preflight=True)
    if known:
        expected["Access-Control-Allow-Headers"] = "authorization"
    assert preflight == {"Vary": "Origin", "Access-Control-Allow-Methods": METHODS, **expected}


@pytest.mark.parametrize("origin", ["https://any.example:1", "null", "nonsense\r\n"])
def test_a_star_is_for_every_page_and_without_credentials(origin: str) -> None:
    cors = Cors(["*", "https://a.example"])
    assert cors.headers(origin, "authorization,content-type", preflight=True) == {
        "Vary": "Origin",
        "Access-Control-Allow-Methods": METHODS,
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Headers": "authorization,content-type",
    }
    assert cors.headers(origin, None, preflight=False) == {"Vary": "Origin", "Access-Control-Allow-Origin": "*"}


def test_an_origin_beside_a_star_keeps_its_credentials() -> None:
    answer = Cors(["*", "https://a.example"]).headers("https://a.example", None, preflight=False)
    assert answer["Access-Control-Allow-Origin"] == "https://a.example"
    assert answer["Access-Control-Allow-Credentials"] == "true"


@pytest.mark.parametrize(
    ("origins", "origin", "preflight", "answer"),
    [
        ([], None, False, {}),
        ([], "https://a.example", False, {}),
        ([], "https://a.example", True, {"Vary": "Origin", "Access-Control-Allow-Methods": METHODS}),
        (ORIGINS, None, False, {"Vary": "Origin"}),
        (ORIGINS, None, True, {"Vary": "Origin", "Access-Control-Allow-Methods": METHODS}),
        (["*"], None, False, {"Vary": "Origin"}),
    ],
)
def test_without_an_origin_or_without_configured_ones(
    origins: list[str], origin: str | None, preflight: bool, answer: dict[str, str]
) -> None:
    assert Cors(origins).headers(origin, "x-any", preflight) == answer


@pytest.mark.parametrize(
    ("asked", "echoed"),
    [
        ("authorization", True),
        ("Authorization, X-Other_1 ,x!y", True),
        ("authorization\r\nSet-Cookie: x", False),
        ("authorization\n", False),
        ("a b", False),
        ("a,,b", False),
        ("", False),
        ("ü", False),
        ("a" * 1024, True),
        ("a" * 1025, False),
        ("a," * 511 + "a ", False),
    ],
)
def test_only_names_of_headers_are_echoed(asked: str, echoed: bool) -> None:
    answer = Cors(["https://a.example"]).headers("https://a.example", asked, preflight=True)
    assert answer.get("Access-Control-Allow-Headers") == (asked if echoed else None)
    assert "Access-Control-Allow-Origin" in answer


def test_origins_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "given.toml"
    file.write_text(f"[api]\ncors_origins = {ORIGINS}".replace("'", '"'))
    assert load_config(file).api.cors_origins == tuple(ORIGINS)
    Cors(load_config(file).api.cors_origins)


@pytest.mark.parametrize(
    ("origin", "shown"),
    [
        ("null", "null"),
        ("a.example", "a.example"),
        ("*.a.example", "*.a.example"),
        ("https://", "https://"),
        ("https://a.example/", "https://a.example"),
        ("https://a.example/path", "https://a.example/***"),
        ("https://*.*.example", "https://*.*.example"),
        ("https://a.*.example", "https://a.*.example"),
        ("ftp://a.example", "ftp://a.example"),
        ("https://user:swordfish@a.example", "https://a.example"),
    ],
)
def test_one_sentence_for_a_wrong_origin(tmp_path: Path, origin: str, shown: str) -> None:
    file = tmp_path / "given.toml"
    file.write_text(f'[api]\ncors_origins = ["*", "{origin}"]')
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == (
        f'{file}: api.cors_origins: found a list ("{shown}": it is no origin), '
        'allowed: origins (https://a.example, http://*.b.example:8080), or "*"'
    )
