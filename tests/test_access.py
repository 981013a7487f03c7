"""Tokens: who is let in, what a grant covers, and what refusals say."""

from __future__ import annotations

import hmac
from pathlib import Path

import pytest
from authorization_forms import ADMITTED, OTHER, REFUSED, REQUIRED, TOKEN, basic

from pushcast import access as module
from pushcast.access import Access, Forbidden, Grant, Role, admit, configured_access
from pushcast.config import load_config
from pushcast.errors import ConfigError, Unauthorized
from pushcast.login_limit import LoginLimit, TooManyLogins

REMOTE = "198.51.100.4"


def two_tokens() -> Access:
    return Access([(TOKEN, Grant("first", Role.ADMIN)), (OTHER, Grant("second", Role.READ))])


@pytest.mark.parametrize(("header", "text"), REFUSED)
def test_refused(header: str | None, text: str) -> None:
    with pytest.raises(Unauthorized) as caught:
        two_tokens().check(header)
    assert str(caught.value) == text
    assert caught.value.status == 401
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "name", "role"),
    [
        *((header, "first", Role.ADMIN) for header in ADMITTED),
        (basic(OTHER), "second", Role.READ),
    ],
)
def test_admitted(header: str, name: str, role: Role) -> None:
    grant = two_tokens().check(header)
    assert (grant.name, grant.role) == (name, role)


def test_without_tokens_nobody_is_admitted() -> None:
    with pytest.raises(Unauthorized):
        Access([]).check(basic(""))


def test_any_bytes_make_a_token() -> None:
    """As they come out of the environment, which is not always UTF-8."""
    token = bytes(range(1, 256))
    access = Access([(token.decode(errors="surrogateescape"), Grant("odd", Role.PUSH))])
    assert access.check(basic(token)).name == "odd"
    with pytest.raises(Unauthorized):
        access.check(basic(token[:-1]))


@pytest.mark.parametrize("token", [TOKEN, OTHER, "wrong", "w" * 6000])
def test_every_token_is_compared_in_constant_time_and_at_one_length(
    token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[tuple[int, int]] = []
    real = hmac.compare_digest

    def watched(a: bytes, b: bytes) -> bool:
        lengths.append((len(a), len(b)))
        return real(a, b)

    access = two_tokens()
    monkeypatch.setattr(module.hmac, "compare_digest", watched)
    try:
        access.check(basic(token))
    except Unauthorized:
        assert token not in (TOKEN, OTHER)
    assert lengths == [(32, 32)] * 2


EAST = frozenset({"east"})
LIVE = frozenset({"live", "news"})
UNSCOPED, IN_EAST, IN_LIVE, IN_BOTH = (None, None), (EAST, None), (None, LIVE), (EAST, LIVE)


@pytest.mark.parametrize(
    ("scope", "vhost", "app", "allowed"),
    [
        (UNSCOPED, None, None, True),
        (UNSCOPED, "west", None, True),
        (UNSCOPED, "west", "film", True),
        (IN_EAST, None, None, False),
        (IN_EAST, "east", None, True),
        (IN_EAST, "east", "film", True),
        (IN_EAST, "west", "film", False),
        (IN_EAST, "East", "film", False),
        (IN_LIVE, None, None, False),
        (IN_LIVE, "west", None, False),
        (IN_LIVE, "west", "news", True),
        (IN_LIVE, "west", "film", False),
        (IN_BOTH, "east", "live", True),
        (IN_BOTH, "east", "film", False),
        (IN_BOTH, "west", "live", False),
        (IN_BOTH, "east", None, False),
        (IN_BOTH, "east", "", False),
        ((frozenset(), None), "east", "live", False),
    ],
)
def test_scopes(
    scope: tuple[frozenset[str] | None, frozenset[str] | None], vhost: str | None, app: str | None, allowed: bool
) -> None:
    grant = Grant("g", Role.PUSH, *scope)
    assert grant.allows(Role.READ, vhost, app) is allowed
    assert not grant.allows(Role.ADMIN, vhost, app)


@pytest.mark.parametrize(
    ("held", "needed", "allowed"),
    [
        ("read", "read", True),
        ("read", "push", False),
        ("read", "admin", False),
        ("push", "read", True),
        ("push", "push", True),
        ("push", "admin", False),
        ("admin", "read", True),
        ("admin", "push", True),
        ("admin", "admin", True),
    ],
)
def test_roles(held: str, needed: str, allowed: bool) -> None:
    assert Grant("g", Role(held)).allows(Role(needed)) is allowed


@pytest.mark.parametrize(
    ("scope", "vhost", "app", "shown"),
    [
        (UNSCOPED, "west", None, True),
        (IN_EAST, "east", None, True),
        (IN_EAST, "west", None, False),
        (IN_LIVE, "west", None, True),
        (IN_LIVE, "west", "film", False),
        (IN_BOTH, "east", None, True),
        (IN_BOTH, "east", "live", True),
        (IN_BOTH, "west", "live", False),
    ],
)
def test_what_a_list_shows(
    scope: tuple[frozenset[str] | None, frozenset[str] | None], vhost: str, app: str | None, shown: bool
) -> None:
    assert Grant("g", Role.READ, *scope).shows(vhost, app) is shown


@pytest.mark.parametrize(
    ("role", "where", "text"),
    [
        (Role.READ, ("east", "live"), None),
        (Role.PUSH, ("east", "live"), "Token 'view' may not do this: it has role 'read', needed: 'push'"),
        (Role.PUSH, ("west", "live"), "Token 'view' may not do this: it has role 'read', needed: 'push'"),
        (Role.READ, ("west", "live"), "Token 'view' has no access to [west/live]"),
        (Role.READ, ("east", "film"), "Token 'view' has no access to [east/film]"),
        (Role.READ, ("east", None), "Token 'view' has no access to [east]"),
        (Role.READ, (None, None), "Token 'view' has no access to the whole server"),
    ],
)
def test_refusals_beyond_a_grant(role: Role, where: tuple[str | None, str | None], text: str | None) -> None:
    grant = Grant("view", Role.READ, EAST, LIVE)
    if text is None:
        grant.require(role, *where)
        return
    with pytest.raises(Forbidden) as caught:
        grant.require(role, *where)
    assert (str(caught.value), caught.value.status) == (text, 403)


def test_a_wrong_token_over_the_limit_is_429_and_a_right_one_passes() -> None:
    access, limit = two_tokens(), LoginLimit(at_once=2, interval_s=3.0)
    statuses = []
    for _ in range(4):
        with pytest.raises((Unauthorized, TooManyLogins)) as caught:
            admit(access, limit, basic("wrong"), REMOTE, 50.0)
        statuses.append(caught.value.status)
    assert statuses == [401, 401, 429, 429]
    assert isinstance(caught.value, TooManyLogins)
    assert caught.value.retry_after_s == 3
    assert admit(access, limit, basic(OTHER), REMOTE, 50.0).name == "second"
    with pytest.raises(Unauthorized, match="Invalid credential"):
        admit(access, limit, basic("wrong"), "198.51.100.5", 50.0)


def test_a_request_without_the_header_is_asked_for_it_whatever_failed_before() -> None:
    """Clients that show a token only after a 401 would never get to show theirs."""
    access, limit = two_tokens(), LoginLimit(at_once=1, interval_s=3.0)
    for header in (None, "", " "):
        for _ in range(5):
            with pytest.raises(Unauthorized, match=REQUIRED):
                admit(access, limit, header, REMOTE, 50.0)
    with pytest.raises(Unauthorized, match="Invalid credential"):
        admit(access, limit, basic("wrong"), REMOTE, 50.0)
    with pytest.raises(TooManyLogins):
        admit(access, limit, "Bearer x", REMOTE, 50.0)
    with pytest.raises(Unauthorized, match=REQUIRED):
        admit(access, limit, None, REMOTE, 50.0)


def load(tmp_path: Path, text: str) -> Access:
    (tmp_path / "given.toml").write_text(text)
    return configured_access(load_config(tmp_path / "given.toml").api, "made-at-the-start")


TWO_VHOSTS = '[[vhosts]]\nname = "east"\n[[vhosts.apps]]\nname = "live"\n[[vhosts]]\nname = "west"\n'


def test_tokens_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHER", "0123456789abcdefgh")
    (tmp_path / "pusher").write_text("a-token-in-a-file\n")
    access = load(
        tmp_path,
        TWO_VHOSTS
        + '[[api.tokens]]\nname = "watcher"\ntoken = "env:WATCHER"\nrole = "read"\n'
        + f'[[api.tokens]]\nname = "pusher"\ntoken = "file:{tmp_path}/pusher"\nrole = "push"\n'
        + 'vhosts = ["east"]\napps = ["live"]\n',
    )
    assert access.check(basic("made-at-the-start")) == Grant("access_token", Role.ADMIN)
    assert access.check(basic("0123456789abcdefgh")) == Grant("watcher", Role.READ)
    assert access.check(basic("a-token-in-a-file")) == Grant("pusher", Role.PUSH, EAST, frozenset({"live"}))


def test_tokens_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {
        "NAME": "ops",
        "TOKEN": "sixteen-or-more-characters",
        "ROLE": "admin",
        "VHOSTS__0": "default",
        "APPS__0": "app",
    }.items():
        monkeypatch.setenv(f"PUSHCAST_API__TOKENS__0__{key}", value)
    access = configured_access(load_config().api, "made-at-the-start")
    grant = access.check(basic("sixteen-or-more-characters"))
    assert grant == Grant("ops", Role.ADMIN, frozenset({"default"}), frozenset({"app"}))


SECRET = "0123456789swordfish"
TOKEN_TABLE = f'[[api.tokens]]\nname = "a"\ntoken = "{SECRET}"\nrole = "read"\n'
LONG = "allowed: 16 to 1024 characters, none of them a control character"
ONCE = 'allowed: each token name once ("access_token" is that of api.access_token)'


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            TOKEN_TABLE.replace('"a"', '"access_token"'),
            f'api.tokens[0].name: found "access_token" a second time, {ONCE}',
        ),
        (
            TOKEN_TABLE + TOKEN_TABLE.replace(SECRET, SECRET[::-1]),
            f'api.tokens[1].name: found "a" a second time, {ONCE}',
        ),
        (
            TOKEN_TABLE.replace(SECRET, SECRET[:15]),
            f"api.tokens[0].token: found a string (not shown), {LONG}",
        ),
        (
            TOKEN_TABLE.replace('"read"', '"write"'),
            'api.tokens[0].role: found "write", allowed: "read", "push" or "admin"',
        ),
        ('[[api.tokens]]\nname = "a"', f"api.tokens[0].token: found nothing, {LONG}"),
        (TOKEN_TABLE + "vhost = 1", None),
        (
            TOKEN_TABLE + 'vhosts = ["east", "north"]',
            'api.tokens[0].vhosts[1]: found "north", allowed: "east" or "west"',
        ),
        (
            TOKEN_TABLE + 'vhosts = ["west"]\napps = ["live"]',
            'api.tokens[0].apps[0]: found "live", allowed: "app"',
        ),
        (
            TOKEN_TABLE + "vhosts = []",
            "api.tokens[0].vhosts: found a list, allowed: one or more names of vhosts; without the key all",
        ),
        (
            TOKEN_TABLE + 'apps = ["a b"]',
            'api.tokens[0].apps: found a list ("a b": it is no name), '
            "allowed: one or more names of apps; without the key all",
        ),
        (
            TOKEN_TABLE + 'apps = "live"',
            'api.tokens[0].apps: found "live", allowed: one or more names of apps; without the key all',
        ),
        ("[api]\ntokens = 3", "api.tokens: found a single value (not shown), allowed: tables [[api.tokens]]"),
        (
            TOKEN_TABLE + TOKEN_TABLE.replace('"a"', '"b"'),
            "api.tokens[1].token: found the same secret as that of token 'a', allowed: a secret of its own",
        ),
        (
            TOKEN_TABLE.replace(SECRET, "made-at-the-start"),
            "api.tokens[0].token: found the same secret as that of token 'access_token', allowed: a secret of its own",
        ),
    ],
)
def test_one_sentence_for_a_wrong_token(tmp_path: Path, text: str, sentence: str | None) -> None:
    if sentence is None:
        sentence = "api.tokens[0].vhost: found an unknown key, allowed: name, token, role, vhosts, apps"
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, TWO_VHOSTS + text)
    assert str(caught.value).removeprefix(f"{tmp_path}/given.toml: ") == sentence
    assert "swordfish" not in str(caught.value)


def test_a_grant_may_be_logged() -> None:
    assert TOKEN not in repr(two_tokens().check(basic(TOKEN)))
