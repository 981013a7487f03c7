"""Who may publish and what: rules of an app, keys, tokens, limits, and the peace between two who want one name."""

from __future__ import annotations

import time
from typing import Any

import jwt
import pytest

from pushcast.admission import NO_LIMITS, Admission, Asked, Ground, Limits, PublishRefused, Rules, Succession, Watch
from pushcast.config_sections import Publish
from pushcast.publish_token import MAX_TOKEN_CHARS, BadToken, Scope, make_token, read_token

KEY = "a-key-of-sixteen-and-more"
SECRET = "a secret of more than thirty-two characters"
NAME = ("v", "a", "cam1")


def asked(address: str = "192.0.2.7", stream: str = "cam1", **parameters: str) -> Asked:
    return Asked("v", "a", stream, address, parameters)


def answer(rules: dict[str, Any], question: Asked) -> tuple[Ground, str] | None:
    """None: he may."""
    try:
        Admission({("v", "a"): Publish(**rules)}).check(question, 1.0)
    except PublishRefused as refused:
        return refused.ground, str(refused)
    return None


NETWORKS = {"allow": ["192.0.2.0/24", "2001:db8::/32"], "deny": ["192.0.2.66"]}


@pytest.mark.parametrize(
    ("rules", "address", "may"),
    [
        ({}, "203.0.113.9", True),
        ({}, "", True),
        (NETWORKS, "192.0.2.7", True),
        (NETWORKS, "::ffff:192.0.2.7", True),
        (NETWORKS, "2001:db8::1%eth0", True),
        (NETWORKS, "192.0.2.66", False),
        (NETWORKS, "::ffff:192.0.2.66", False),
        (NETWORKS, "203.0.113.9", False),
        (NETWORKS, "", False),
        ({"deny": ["192.0.2.0/24"]}, "192.0.2.7", False),
        ({"deny": ["192.0.2.0/24"]}, "203.0.113.9", True),
    ],
)
def test_addresses(rules: dict[str, Any], address: str, may: bool) -> None:
    shown = address.removeprefix("::ffff:") or "this address"
    assert answer(rules, asked(address)) == (None if may else (Ground.FORBIDDEN, f"{shown} may not publish here"))


def token(secret: str = SECRET, **claims: Any) -> str:
    """Made by the library alone, as others make them."""
    return jwt.encode({"exp": time.time() + 86_400, **claims}, secret, "HS256")


BOTH = {"keys": [KEY, "another-key-of-theirs"], "token_secret": SECRET}


@pytest.mark.parametrize(
    ("rules", "parameters", "reason"),
    [
        ({"keys": [KEY]}, {"key": KEY}, None),
        (BOTH, {"key": "another-key-of-theirs"}, None),
        (BOTH, {"token": token()}, None),
        (BOTH, {"key": "wrong", "token": token()}, None),
        ({"keys": [KEY]}, {}, "expected a key in the URL's parameters, got none"),
        (BOTH, {}, "expected a key or token in the URL's parameters, got none"),
        ({"token_secret": SECRET}, {"key": KEY}, "expected a token, got a key"),
        ({"keys": [KEY]}, {"key": KEY[:-1]}, "expected a publish key, got a wrong one"),
        ({"keys": [KEY]}, {"key": KEY + "\udc80"}, "expected a publish key, got a wrong one"),
        (BOTH, {"token": token("x" * 40)}, "the token is not right"),
        (BOTH, {"token": token(exp=time.time() - 60)}, "the token has expired"),
        (BOTH, {"token": token(nbf=time.time() + 86_400)}, "the token does not count yet"),
        (BOTH, {"token": token(stream="cam2")}, "the token is for another stream"),
        (BOTH, {"token": token(stream="cam*", app="a", vhost="v")}, None),
        (BOTH, {"token": token(app="b")}, "the token is for another app"),
        (BOTH, {"token": token(vhost="w")}, "the token is for another app"),
        (BOTH, {"token": token(ip="192.0.2.0/24")}, None),
        (BOTH, {"token": token(ip="198.51.100.1")}, "the token is for another address"),
    ],
)
def test_keys_and_tokens(rules: dict[str, Any], parameters: dict[str, str], reason: str | None) -> None:
    assert answer(rules, asked(**parameters)) == (None if reason is None else (Ground.UNAUTHORIZED, reason))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (jwt.encode({"iss": "x"}, SECRET, "HS256"), "does not say until when"),
        (jwt.encode({"exp": time.time() + 86_400}, "", "none"), "is not right"),
        (jwt.encode({"exp": time.time() + 86_400}, SECRET * 2, "HS512"), "is not right"),
        (token(stream=7), "claim stream is no text"),
        (token(app=""), "claim app is no text"),
        (token(ip="nowhere"), "claim ip is no address"),
        ("", "is not right"),
        ("a.b.c", "is not right"),
        ("x" * (MAX_TOKEN_CHARS + 1), f"more than {MAX_TOKEN_CHARS} characters"),
    ],
)
def test_what_is_no_token(text: str, reason: str) -> None:
    with pytest.raises(BadToken, match=reason) as caught:
        read_token(text, SECRET)
    assert not text or text not in str(caught.value)


def test_a_token_says_what_it_was_made_for() -> None:
    scope = Scope("v", "a", "cam*", "192.0.2.0/24")
    made = make_token(SECRET, scope, 60)
    assert read_token(made, SECRET) == scope
    assert read_token(make_token(SECRET, Scope(), 60), SECRET) == Scope()
    with pytest.raises(BadToken, match="expired"):
        read_token(make_token(SECRET, Scope(), -60), SECRET)


def test_wrong_keys_in_a_loop_are_told_a_few_times() -> None:
    admission = Admission({("v", "a"): Publish(keys=[KEY])})

    def told(address: str) -> int:
        count = 0
        for _ in range(50):
            with pytest.raises(PublishRefused) as caught:
                admission.check(asked(address, key="wrong"), 1.0)
            count += not caught.value.told
        return count

    assert 1 <= told("192.0.2.7") <= 20
    assert 1 <= told("192.0.2.8") <= 20, "each address by itself"
    admission.check(asked("192.0.2.7", key=KEY), 1.0)


def test_passphrases_of_streams() -> None:
    rules = Rules(Publish(srt_passphrases={"cam*": "passphrase of cams", "*": "passphrase of all"}))
    assert rules.passphrase("cam7") == "passphrase of cams"
    assert rules.passphrase("other") == "passphrase of all"
    assert Rules(Publish()).passphrase("cam7") == ""


def test_who_fights_for_a_name_waits_longer_each_time() -> None:
    succession, now_s, since_s = Succession(), 100.0, 100.0
    waits = []
    for _ in range(8):
        waits.append(succession.wait_s(NAME, since_s, now_s))
        now_s += waits[-1]
        assert succession.wait_s(NAME, since_s, now_s) == 0
        succession.note(NAME, now_s)
        since_s = now_s
    assert waits == [3, 6, 12, 24, 48, 60, 60, 60]
    assert succession.wait_s(NAME, since_s, now_s + 1000) == 0
    assert succession.wait_s(("v", "a", "other"), now_s, now_s) == 3


def test_a_bit_rate_is_measured_over_its_window() -> None:
    watch = Watch(Limits(max_bitrate_kbps=1000), 0.0)
    steady = [watch.reason_to_stop(second, second * 125_000) for second in range(1, 60)]
    assert not any(steady)
    burst = Watch(Limits(max_bitrate_kbps=1000), 0.0)
    assert not burst.reason_to_stop(0.5, 1_200_000), "a keyframe is no rate"
    assert burst.reason_to_stop(1.5, 1_300_000) == "expected at most 1000 kbit/s over 10 s, got 6933 kbit/s"
    late = Watch(Limits(max_bitrate_kbps=1000), 0.0)
    came = 0
    for second in range(1, 90):
        came += 100_000 if second < 60 else 250_000
        if late.reason_to_stop(second, came):
            break
    assert 60 <= second <= 72, "what doubles its rate after a minute is found within some ten seconds"


def test_a_lifetime_ends() -> None:
    watch = Watch(Limits(lifetime_s=5.0), 100.0)
    assert not watch.reason_to_stop(104.9, 1 << 40)
    assert watch.reason_to_stop(105.0, 0) == "its lifetime of 5 s is over"
    assert not Watch(NO_LIMITS, 0.0).reason_to_stop(1e9, 1 << 60)


def test_secrets_stand_in_no_repr() -> None:
    assert KEY not in repr(asked(key=KEY))
    shown = repr(Publish(keys=[KEY], token_secret=SECRET))
    assert KEY not in shown
    assert SECRET not in shown
