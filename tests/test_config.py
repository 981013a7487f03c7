"""The configuration: what is right, where values come from, and the one sentence for everything that is wrong."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from pushcast.config import Config, load_config
from pushcast.config_types import ALLOWED_RULE_ID, MAX_FILE_BYTES
from pushcast.errors import ConfigError
from pushcast.file_url import FileUrl, parse_file_url
from pushcast.pull_url import ALLOWED_URL

API_KEYS = "host, port, strict_ome, mask_keys, access_token, tokens, tls_cert, tls_key, cors_origins"
WHOLE = """
[api]
host = "::1"
port = 18081
access_token = "not-a-real-token"
[rtmp]
host = "192.0.2.7"
port = 11935
[srt]
host = "localhost"
port = 19999
[[vhosts]]
name = "east"
[[vhosts.apps]]
name = "live"
[[vhosts.apps]]
name = "übung"
[[vhosts]]
name = "west.example.com"
[[sources]]
vhost = "east"
app = "live"
name = "clip 1"
url = "file:///media/a%20clip.ts?loop=1"
[state]
path = "/var/lib/elsewhere"
[sender]
udp_ms = 10
srt_ms = 30
tcp_ms = 80
threads = 3
[log]
level = "debug"
"""


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in list(os.environ):
        if variable.startswith("PUSHCAST_"):
            monkeypatch.delenv(variable)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "given.toml"


def load(file: Path, text: str) -> Config:
    file.write_text(text)
    return load_config(file)


def refusal(file: Path, text: str) -> str:
    with pytest.raises(ConfigError) as error:
        load(file, text)
    return str(error.value).replace(str(file), "FILE")


def test_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/xdg")
    config = load_config()
    assert (config.api.host, config.api.port, config.api.access_token) == ("127.0.0.1", 8081, None)
    assert (config.rtmp.host, config.rtmp.port) == ("0.0.0.0", 1935)
    assert [(vhost.name, [app.name for app in vhost.apps]) for vhost in config.vhosts] == [("default", ["app"])]
    assert config.sources == ()
    assert config.state.path == Path("/xdg/pushcast")
    sender = config.sender
    assert (sender.udp_ms, sender.srt_ms, sender.tcp_ms, sender.threads, config.log.level) == (20, 20, 40, 1, "INFO")


def test_every_key(file: Path) -> None:
    config = load(file, WHOLE.replace('"clip 1"', '"clip-1"'))
    assert (config.api.host, config.api.port) == ("::1", 18081)
    assert config.api.access_token is not None
    assert config.api.access_token.get_secret_value() == "not-a-real-token"
    assert (config.rtmp.host, config.rtmp.port, config.srt.host, config.srt.port) == (
        "192.0.2.7",
        11935,
        "localhost",
        19999,
    )
    assert [vhost.name for vhost in config.vhosts] == ["east", "west.example.com"]
    assert [[app.name for app in vhost.apps] for vhost in config.vhosts] == [["live", "übung"], ["app"]]
    (source,) = config.sources
    assert (source.vhost, source.app, source.name) == ("east", "live", "clip-1")
    assert parse_file_url(source.url) == FileUrl(Path("/media/a clip.ts"), True)
    assert config.state.path == Path("/var/lib/elsewhere")
    sender = config.sender
    assert (sender.udp_ms, sender.srt_ms, sender.tcp_ms, sender.threads) == (10, 30, 80, 3)
    assert config.log.level == "DEBUG"


def test_rules_of_automatic_pushes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENT_KEY", "swordfish")
    monkeypatch.setenv("PUSHCAST_VHOSTS__0__APPS__0__PUSHES__1__STREAM", "cam?")
    monkeypatch.setenv("PUSHCAST_VHOSTS__0__APPS__0__PUSHES__1__VARIANT_NAMES__0", "hd")
    monkeypatch.setenv("PUSHCAST_VHOSTS__0__APPS__0__PUSHES__1__VARIANT_NAMES__1", "sd")
    monkeypatch.setenv("PUSHCAST_VHOSTS__0__APPS__0__PUSHES__1__ENABLE", "false")
    text = (
        '[[vhosts]]\nname = "a"\n[[vhosts.apps]]\nname = "x"\nstream_map = "/etc/map.xml"\n'
        '[[vhosts.apps.pushes]]\nid = "event"\nstream = "show*"\nprotocol = "rtmp"\n'
        'url = "rtmp://host/live"\nstream_key = "env:EVENT_KEY"\nvariant_names = ["cam"]\n'
        '[[vhosts.apps.pushes]]\nstream = "*"\nprotocol = "srt"\nurl = "srt://host:9000"\n'
    )
    (app,) = load(file, text).vhosts[0].apps
    assert app.stream_map == Path("/etc/map.xml")
    event, other = app.pushes
    assert (event.id, event.stream, event.protocol, event.variant_names) == ("event", "show*", "rtmp", ("cam",))
    assert (event.url.get_secret_value(), event.stream_key.get_secret_value()) == ("rtmp://host/live", "swordfish")
    assert (other.id, other.stream, other.variant_names, other.enable) == ("", "cam?", ("hd", "sd"), False)
    assert event.enable
    assert "swordfish" not in repr(app)


def test_is_frozen_and_keeps_the_token_out_of_its_repr(file: Path) -> None:
    config = load(file, '[api]\naccess_token = "swordfish"')
    assert "swordfish" not in repr(config)
    with pytest.raises(ValidationError):
        config.api.port = 1  # type: ignore[misc]


def test_environment_beats_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHCAST_API__PORT", "28081")
    monkeypatch.setenv("pushcast_log__level", "warning")
    monkeypatch.setenv("PUSHCAST_VHOSTS__0__APPS__1__NAME", "second")
    monkeypatch.setenv("PUSHCAST_SOURCES__0__URL", "file:///other.mkv")
    config = load(file, WHOLE.replace('"clip 1"', '"clip"'))
    assert (config.api.port, config.api.host, config.log.level) == (28081, "::1", "WARNING")
    assert [app.name for app in config.vhosts[0].apps] == ["live", "second"]
    assert (config.sources[0].name, config.sources[0].url) == ("clip", "file:///other.mkv")


def test_environment_alone_can_say_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHCAST_VHOSTS", '[{"name": "json", "apps": [{"name": "one"}]}]')
    monkeypatch.setenv("PUSHCAST_SOURCES__0__VHOST", "json")
    monkeypatch.setenv("PUSHCAST_SOURCES__0__APP", "one")
    monkeypatch.setenv("PUSHCAST_SOURCES__0__NAME", "s")
    monkeypatch.setenv("PUSHCAST_SOURCES__0__URL", "file:///s.ts")
    config = load_config()
    assert config.vhosts[0].apps[0].name == "one"
    assert config.sources[0].url == "file:///s.ts"


def test_variables_of_a_container_platform_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHCAST_PORT", "tcp://10.0.0.1:8081")
    monkeypatch.setenv("PUSHCAST_SERVICE_HOST", "10.0.0.1")
    assert load_config().api.port == 8081


def test_references(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("  from a file \n")
    monkeypatch.setenv("SOME_PORT", " 4711\n")
    monkeypatch.setenv("SOME_URL", "file:///clip.mp4?loop=0")
    config = load(
        file,
        f'[api]\nport = "env:SOME_PORT"\naccess_token = "file:{secret}"\n'
        '[[sources]]\nname = "s"\nurl = "env:SOME_URL"\n[sender]\ntcp_ms = "55"',
    )
    assert config.api.port == 4711
    assert config.api.access_token is not None
    assert config.api.access_token.get_secret_value() == "from a file"
    assert parse_file_url(config.sources[0].url) == FileUrl(Path("/clip.mp4"), False)
    assert config.sender.tcp_ms == 55


PORT = "allowed: a whole number from 0 to 65535"
NAME = "allowed: 1 to 128 characters, none of them a space or / : ? # % \\"
TOKEN = "allowed: 1 to 1024 characters, none of them a control character"
URL = f"allowed: {ALLOWED_URL}"
TWO_VHOSTS = '[[vhosts]]\nname = "a"\n[[vhosts.apps]]\nname = "x"\n[[vhosts]]\nname = "b"\n'

RULE = '[[vhosts]]\nname = "a"\n[[vhosts.apps]]\nname = "x"\n[[vhosts.apps.pushes]]\n'
WHOLE_RULE = RULE + 'stream = "*"\nprotocol = "srt"\nurl = "srt://host:9000"\n'
PUSH = "vhosts[0].apps[0].pushes[0]"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('[api]\nport = "eighty"', f'FILE: api.port: found "eighty", {PORT}'),
        ("[api]\nport = 65536", f"FILE: api.port: found 65536, {PORT}"),
        ("[api]\nport = -1", f"FILE: api.port: found -1, {PORT}"),
        ("[api]\nport = 80.5", f"FILE: api.port: found 80.5, {PORT}"),
        ("[api]\nport = true", f"FILE: api.port: found true, {PORT}"),
        ("[rtmp]\nport = []", f"FILE: rtmp.port: found a list, {PORT}"),
        (
            "[api]\nprot = 1",
            "FILE: api.prot: found an unknown key, allowed: " + API_KEYS,
        ),
        ("[apis]\nport = 1", None),
        (
            'api = "x"',
            "FILE: api: found a string (not shown), allowed: a table with " + API_KEYS,
        ),
        (
            '[srt]\nhost = "[::1]"',
            'FILE: srt.host: found "[::1]", allowed: an IPv4 address, an IPv6 address without brackets, or a host name',
        ),
        ("[api]\naccess_token = 12345", f"FILE: api.access_token: found a single value (not shown), {TOKEN}"),
        ('[api]\naccess_token = ""', f"FILE: api.access_token: found a string (not shown), {TOKEN}"),
        ("vhosts = []", "FILE: vhosts: found a list, allowed: one or more tables [[vhosts]]"),
        ("vhosts = 3", "FILE: vhosts: found a single value (not shown), allowed: one or more tables [[vhosts]]"),
        ("[[vhosts]]", f"FILE: vhosts[0].name: found nothing, {NAME}"),
        ('[[vhosts]]\nname = "a/b"', f'FILE: vhosts[0].name: found "a/b", {NAME}'),
        (
            '[[vhosts]]\nname = "a"\napps = [7]',
            "FILE: vhosts[0].apps[0]: found a single value (not shown), allowed: a table with name, publish, "
            "stream_map, pushes, output_profiles",
        ),
        (
            '[[vhosts]]\nname = "a"\napps = []',
            "FILE: vhosts[0].apps: found a list, allowed: one or more tables [[vhosts.apps]]",
        ),
        (
            '[pull]\nfiles_below = "media"',
            'FILE: pull.files_below: found "media", allowed: the absolute path of a folder',
        ),
        (
            '[[vhosts]]\nname = "a"\n[[vhosts.apps]]\nname = "x"\nstream_map = "map.xml"',
            'FILE: vhosts[0].apps[0].stream_map: found "map.xml", allowed: the absolute path of a file',
        ),
        (RULE + 'id = "a:b"', f'FILE: {PUSH}.id: found "a:b", allowed: {ALLOWED_RULE_ID}'),
        (RULE + "stream = 7", f"FILE: {PUSH}.stream: found 7, allowed: a text"),
        (WHOLE_RULE + 'enable = "perhaps"', f'FILE: {PUSH}.enable: found "perhaps", allowed: true or false'),
        (WHOLE_RULE + 'variant_names = "a,b"', f'FILE: {PUSH}.variant_names: found "a,b", allowed: a list of texts'),
        (
            WHOLE_RULE + 'variant_names = ["a", 3]',
            f"FILE: {PUSH}.variant_names: found a list (not all of it are texts), allowed: a list of texts",
        ),
        (RULE + 'stream = "*"\nprotocol = "srt"', f"FILE: {PUSH}.url: found nothing, allowed: a text"),
        (
            WHOLE_RULE + "key = 1",
            f"FILE: {PUSH}.key: found an unknown key, "
            "allowed: id, stream, protocol, url, stream_key, variant_names, enable",
        ),
        (
            '[[vhosts]]\nname = "a"\n[[vhosts.apps]]\nname = "x"\npushes = 3',
            "FILE: vhosts[0].apps[0].pushes: found a single value (not shown), allowed: tables [[vhosts.apps.pushes]]",
        ),
        (
            '[[vhosts]]\nname = "a"\n[[vhosts]]\nname = "a"',
            'FILE: vhosts[1].name: found "a" a second time, allowed: each vhost name once',
        ),
        (
            TWO_VHOSTS + '[[vhosts.apps]]\nname = "y"\n[[vhosts.apps]]\nname = "y"',
            'FILE: vhosts[1].apps[1].name: found "y" a second time, allowed: each app name once in its vhost',
        ),
        (
            TWO_VHOSTS + '[[sources]]\nvhost = "c"\nname = "s"\nurl = "file:///s"',
            'FILE: sources[0].vhost: found "c", allowed: "a" or "b"',
        ),
        (
            TWO_VHOSTS + '[[sources]]\nname = "s"\nurl = "file:///s"',
            'FILE: sources[0].vhost: found "default", allowed: "a" or "b"',
        ),
        (
            TWO_VHOSTS + '[[sources]]\nvhost = "a"\napp = "y"\nname = "s"\nurl = "file:///s"',
            'FILE: sources[0].app: found "y", allowed: "x"',
        ),
        (
            '[[sources]]\nname = "s"\nurl = "file:///1"\n[[sources]]\nname = "s"\nurl = "file:///2"',
            'FILE: sources[1].name: found "s" a second time, allowed: each name that is fed once in its app',
        ),
        ('[[sources]]\nname = "s"', f"FILE: sources[0].url: found nothing (nor urls), {URL}"),
        (
            '[[sources]]\nname = "s"\nurl = "ftp://host/app/stream-key"',
            'FILE: sources[0].url: found "ftp://host/***" (its scheme is "ftp", allowed: file, http, https, rtmp, '
            f"rtsp, srt, tcp, udp), {URL}",
        ),
        (
            '[[sources]]\nname = "s"\nurl = "file://host/clip"',
            f'FILE: sources[0].url: found "file://host/clip" (it names a host), {URL}',
        ),
        (
            '[[sources]]\nname = "s"\nurl = "file:///clip?loop=2"',
            f'FILE: sources[0].url: found "file:///clip?loop=2" (it has a wrong option "loop"), {URL}',
        ),
        ('[state]\npath = ""', 'FILE: state.path: found "", allowed: the path of a folder'),
        ("[sender]\nudp_ms = 4", "FILE: sender.udp_ms: found 4, allowed: a whole number of milliseconds from 5 to 100"),
        (
            "[sender]\ntcp_ms = 201",
            "FILE: sender.tcp_ms: found 201, allowed: a whole number of milliseconds from 5 to 200",
        ),
        ("[sender]\nthreads = 0", "FILE: sender.threads: found 0, allowed: a whole number from 1 to 64"),
        ('[log]\nlevel = "loud"', 'FILE: log.level: found "loud", allowed: DEBUG, INFO, WARNING or ERROR'),
        (
            '[api]\nport = "env:NOWHERE_SET"',
            f'FILE: api.port: found "env:NOWHERE_SET" (that variable is not set), {PORT}',
        ),
        ('[api]\nport = "env:a b"', f'FILE: api.port: found "env:a b" (no variable has such a name), {PORT}'),
        (
            '[api]\nport = "file:here"',
            f'FILE: api.port: found "file:here" (file: is followed by an absolute path), {PORT}',
        ),
        (
            '[api]\nport = "file:/no/such/file"',
            f'FILE: api.port: found "file:/no/such/file" (that file cannot be read: No such file or directory), {PORT}',
        ),
        ("[api\n", "FILE: found no valid TOML at line 1, column 5, allowed: TOML 1.0"),
    ],
)
def test_one_sentence(file: Path, text: str, sentence: str | None) -> None:
    if sentence is None:
        known = "api, rtmp, srt, vhosts, mpegts, sources, multiplex, destinations, pull, state, sender, log"
        sentence = f"FILE: apis: found an unknown key, allowed: {known}"
    assert refusal(file, text) == sentence


def test_names_the_variable(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHCAST_API__PORT", "many")
    assert refusal(file, "[api]\nport = 1") == f'PUSHCAST_API__PORT: api.port: found "many", {PORT}'
    monkeypatch.setenv("PUSHCAST_API__PORT", "1")
    monkeypatch.setenv("PUSHCAST_VHOSTS__1__NAME", "x y")
    assert refusal(file, '[[vhosts]]\nname = "a"') == f'PUSHCAST_VHOSTS__1__NAME: vhosts[1].name: found "x y", {NAME}'
    monkeypatch.delenv("PUSHCAST_VHOSTS__1__NAME")
    monkeypatch.setenv("PUSHCAST_RTMP", '{"port": "x"}')
    assert refusal(file, "") == f'PUSHCAST_RTMP: rtmp.port: found "x", {PORT}'
    monkeypatch.setenv("PUSHCAST_RTMP", "{")
    assert refusal(file, "") == "PUSHCAST_RTMP: found text that is not JSON, allowed: JSON"
    monkeypatch.setenv("PUSHCAST_RTMPS__PORT", "1")
    assert refusal(file, "").startswith("PUSHCAST_RTMPS__PORT: found an unknown section, allowed: api, ")


def test_a_list_item_without_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHCAST_VHOSTS__3__NAME", "far")
    with pytest.raises(ConfigError, match="its numbers do not run from 0 without a gap"):
        load_config()


def test_no_secret_in_a_sentence(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("swordfish")
    monkeypatch.setenv("MY_SECRET", "swordfish")
    for text in (
        '[api]\naccess_token = "swordfish\\u0007"',
        '[api]\nacces_token = "swordfish"',
        'api = "swordfish"',
        '[api]\nport = "env:MY_SECRET"',
        f'[api]\nport = "file:{secret}"',
        '[[sources]]\nname = "s"\nurl = "ftp://host/app/swordfish"',
        RULE + 'url = ["swordfish"]',
        RULE + 'stream = "*"\nprotocol = "rtmp"\nurl = "rtmp://h/a"\nstream_key = {a = "swordfish"}',
        WHOLE_RULE + 'streamkey = "swordfish"',
        'x = "swordfish',
    ):
        assert "swordfish" not in refusal(file, text), text


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file or directory"):
        load_config(tmp_path / "absent.toml")
    (tmp_path / "latin1.toml").write_bytes(b'[api]\nhost = "\xfc"')
    with pytest.raises(ConfigError, match=r"found a byte at offset 14 that is not UTF-8"):
        load_config(tmp_path / "latin1.toml")
    (tmp_path / "clip.toml").write_bytes(bytes(MAX_FILE_BYTES + 1))
    with pytest.raises(ConfigError, match=f"found more than {MAX_FILE_BYTES} bytes"):
        load_config(tmp_path / "clip.toml")


@pytest.mark.parametrize(
    "url", ["file:///", "file:clip", "file:///a#b", "file:///a?loop", "file:///a%00b", "file://[/x"]
)
def test_no_file_url(url: str) -> None:
    with pytest.raises(ValueError, match=r"^it"):
        parse_file_url(url)
