"""The configuration: a TOML file, the environment over it, checked once and frozen.

Every key may also come from the environment, ``api.port`` as ``PUSHCAST_API__PORT`` and ``vhosts[0].name`` as
``PUSHCAST_VHOSTS__0__NAME``; the environment beats the file.  Any string or number may be a reference, ``env:NAME`` or
``file:/path`` (its content, stripped), so that a secret need not stand in the file.

What is wrong stops the start with one sentence: where, which key, what was found, what is allowed (config_sentence.py).
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from pushcast.config_sentence import MAX_SHOWN, Location, Sentence, Written
from pushcast.destinations import ALLOWED_RULES, parse_rule
from pushcast.errors import ConfigError
from pushcast.file_url import ALLOWED_URL, parse_file_url
from pushcast.log import redact

PREFIX = "PUSHCAST_"
MAX_FILE_BYTES = 1 << 20  # thousands of sources fit; a larger file is a mistaken path (a clip, a device)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,255}")
# Names are segments of the API's paths, and a colon there divides an app from its action.
NAME_PATTERN = re.compile(r"[^/:\x00-\x20\x7f?#%\\]{1,128}")
_TOKEN = re.compile(r"[^\x00-\x1f\x7f]{1,1024}")
# Nothing but its length stands between a token and who guesses (login_limit.py).
_LONG_TOKEN = re.compile(r"[^\x00-\x1f\x7f]{16,1024}")
# RFC 6454, and "*." for all names below a domain.
_ORIGIN = re.compile(r"\*|https?://(?:(?:\*\.)?[0-9a-z._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?", re.IGNORECASE)
# A rule's id stands before a colon in the ids of its pushes (streammap_rule.py).
RULE_ID = re.compile(r"[^:\x00-\x1f\x7f]{1,128}")
ALLOWED_RULE_ID = "1 to 128 characters, none of them a colon or a control character"


def _wrong(reason: str = "") -> PydanticCustomError:
    return PydanticCustomError("pushcast", "{reason}", {"reason": reason})


def _read_reference(value: str) -> str:
    scheme, _, where = value.partition(":")
    if scheme == "env":
        if not _VARIABLE.fullmatch(where):
            raise _wrong("no variable has such a name")
        if where not in os.environ:
            raise _wrong("that variable is not set")
        return os.environ[where].strip()
    if not where.startswith("/"):
        raise _wrong("file: is followed by an absolute path")
    try:
        with open(where, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise _wrong(f"that file has more than {MAX_FILE_BYTES} bytes")
        return content.decode().strip()
    except OSError as error:
        raise _wrong(f"that file cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _wrong("that file is not UTF-8 text") from error


def _resolve(value: Any) -> Any:
    return _read_reference(value) if isinstance(value, str) and value.startswith(("env:", "file:")) else value


def _resolve_url(value: Any) -> Any:
    """A source's URL begins with ``file:`` itself, so only ``env:`` is a reference there."""
    return _read_reference(value) if isinstance(value, str) and value.startswith("env:") else value


def _not_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise _wrong()
    return value


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _expand_home(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        raise _wrong()
    return os.path.expanduser(value)


def _absolute(value: Path) -> Path:
    if not value.is_absolute():
        raise _wrong()
    return value


def _matching(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: Any) -> Any:
        if not pattern.fullmatch(value.get_secret_value() if isinstance(value, SecretStr) else value):
            raise _wrong()
        return value

    return AfterValidator(check)


def _check_url(value: str) -> str:
    try:
        parse_file_url(value)
    except ValueError as error:
        raise _wrong(str(error)) from error
    return value


def _by_index(value: Any) -> Any:
    """Lists travel as ``{"0": ..., "1": ...}``, so that the environment can set one key of one of the file's items."""
    if isinstance(value, dict) and value and all(str(key).isdecimal() for key in value):
        if sorted(map(int, value)) != list(range(len(value))):
            raise _wrong("its numbers do not run from 0 without a gap")
        return [value[key] for key in sorted(value, key=int)]
    return value


def _texts(value: Any) -> Any:
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        raise _wrong("not all of it are texts")
    return value


def _each(check: Callable[[str], object]) -> BeforeValidator:
    """Look at every text of a list.  A place in it has no words of its own, so what is wrong is said of the list."""

    def look(value: Any) -> Any:
        if not isinstance(value, list):
            raise _wrong()
        return [read(item) for item in value]

    def read(written: Any) -> str:
        text = _resolve(written)
        if not isinstance(text, str):
            raise _wrong("not all of it are texts")
        try:
            check(text)
        except ValueError as error:
            shown = redact(written, keep_path=False) if "://" in written else written
            raise _wrong(f"{json.dumps(shown, ensure_ascii=False)[:MAX_SHOWN]}: {error}") from error
        return text

    return BeforeValidator(look)


def _check_name(text: str) -> None:
    if not NAME_PATTERN.fullmatch(text):
        raise ValueError("it is no name")


def _check_origin(text: str) -> None:
    if not _ORIGIN.fullmatch(text):
        raise ValueError("it is no origin")


# Validators in Annotated: "before" ones run from the right, "after" ones from the left.
_REFERENCE = BeforeValidator(_resolve)
_NUMBER = BeforeValidator(_not_bool)
_LIST = BeforeValidator(_by_index)


def _number(low: int, high: int, what: str = "a whole number") -> Any:
    return Field(ge=low, le=high, description=f"{what} from {low} to {high}")


Host = Annotated[
    str,
    Field(description="an IPv4 address, an IPv6 address without brackets, or a host name"),
    _matching(_HOST),
    _REFERENCE,
]
Port = Annotated[int, _number(0, 65535), _NUMBER, _REFERENCE]
Name = Annotated[
    str,
    Field(description="1 to 128 characters, none of them a space or / : ? # % \\"),
    _matching(NAME_PATTERN),
    _REFERENCE,
]
Token = Annotated[
    SecretStr,
    Field(description="1 to 1024 characters, none of them a control character"),
    _matching(_TOKEN),
    _REFERENCE,
]
LongToken = Annotated[
    SecretStr,
    Field(description="16 to 1024 characters, none of them a control character"),
    _matching(_LONG_TOKEN),
    _REFERENCE,
]
Scope = Annotated[tuple[str, ...], Field(min_length=1), _each(_check_name), _LIST]
Origins = Annotated[
    tuple[str, ...],
    Field(description='origins (https://a.example, http://*.b.example:8080), or "*"'),
    _each(_check_origin),
    _LIST,
]
DestinationRules = Annotated[tuple[str, ...], Field(description=ALLOWED_RULES), _each(parse_rule), _LIST]
PemFile = Annotated[Path, BeforeValidator(_expand_home), _REFERENCE]
Folder = Annotated[Path, Field(description="the path of a folder"), BeforeValidator(_expand_home), _REFERENCE]
MapFile = Annotated[Path, AfterValidator(_absolute), BeforeValidator(_expand_home), _REFERENCE]
RuleId = Annotated[str, Field(description=ALLOWED_RULE_ID), _matching(RULE_ID), _REFERENCE]
# What a rule's texts hold is checked with the protocols at hand, in streammap_rule.py.
Word = Annotated[str, Field(description="a text"), _REFERENCE]
SecretWord = Annotated[SecretStr, Field(description="a text"), _REFERENCE]
Texts = Annotated[tuple[str, ...], Field(description="a list of texts"), BeforeValidator(_texts), _LIST]
SourceUrl = Annotated[str, Field(description=ALLOWED_URL), AfterValidator(_check_url), BeforeValidator(_resolve_url)]
TickMs = Annotated[int, _number(5, 100, "a whole number of milliseconds"), _NUMBER, _REFERENCE]
TcpTickMs = Annotated[int, _number(5, 200, "a whole number of milliseconds"), _NUMBER, _REFERENCE]
Threads = Annotated[int, _number(1, 64), _NUMBER, _REFERENCE]
Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    Field(description="DEBUG, INFO, WARNING or ERROR"),
    BeforeValidator(_upper),
    _REFERENCE,
]


def default_state_path() -> Path:
    """The state folder when none is configured: ``pushcast`` in the XDG base directory specification's state home."""
    home = os.environ.get("XDG_STATE_HOME", "")
    return (Path(home) if home.startswith("/") else Path.home() / ".local/state") / "pushcast"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ApiToken(_Section):
    """One more token for the API, with less rights than ``api.access_token`` as a rule (see access.py)."""

    name: Name
    token: LongToken
    role: Annotated[Literal["read", "push", "admin"], Field(description='"read", "push" or "admin"'), _REFERENCE]
    vhosts: Annotated[Scope | None, Field(description="one or more names of vhosts; without the key all")] = None
    apps: Annotated[Scope | None, Field(description="one or more names of apps; without the key all")] = None


class Api(_Section):
    """Where the REST API listens; without a token one is made at the first start (see access_token.py).

    With ``tls_cert`` and ``tls_key`` it speaks TLS (api/tls.py); pages of ``cors_origins`` may use it (api/cors.py).
    """

    host: Host = "127.0.0.1"
    port: Port = 8081
    strict_ome: Annotated[bool, Field(description="true or false"), _REFERENCE] = False
    mask_keys: Annotated[bool, Field(description="true or false"), _REFERENCE] = False
    access_token: Annotated[
        Token | None, Field(description="1 to 1024 characters, none of them a control character")
    ] = None
    tokens: Annotated[tuple[ApiToken, ...], Field(description="tables [[api.tokens]]"), _LIST] = ()
    tls_cert: Annotated[PemFile | None, Field(description="the path of a PEM file")] = None
    tls_key: Annotated[PemFile | None, Field(description="the path of a PEM file")] = None
    cors_origins: Origins = ()

    @model_validator(mode="after")
    def _check_tls(self) -> Api:
        if (self.tls_cert is None) != (self.tls_key is None):
            missing, there = ("tls_key", "tls_cert") if self.tls_key is None else ("tls_cert", "tls_key")
            context = {"reason": f"api.{there} is set", "location": ("api", missing)}
            raise PydanticCustomError("pushcast", "{reason}", context)
        return self


class Rtmp(_Section):
    """Where RTMP publishers connect."""

    host: Host = "0.0.0.0"
    port: Port = 1935


class Srt(_Section):
    """Accepted for the SRT ingest to come; nothing listens there yet."""

    host: Host = "0.0.0.0"
    port: Port = 9999


class PushRule(_Section):
    """A push that every stream of the app with a matching name gets by itself (see streammap.py)."""

    id: RuleId = ""
    stream: Word
    protocol: Word
    url: SecretWord
    stream_key: SecretWord = SecretStr("")
    variant_names: Texts = ()
    enable: Annotated[bool, Field(description="true or false"), _REFERENCE] = True


class App(_Section):
    """An application of a virtual host; ``stream_map`` names a file with more rules, OvenMediaEngine's XML."""

    name: Name
    stream_map: Annotated[MapFile | None, Field(description="the absolute path of a file")] = None
    pushes: Annotated[tuple[PushRule, ...], Field(description="tables [[vhosts.apps.pushes]]"), _LIST] = ()


class Vhost(_Section):
    """A virtual host and its applications."""

    name: Name
    apps: Annotated[tuple[App, ...], Field(min_length=1, description="one or more tables [[vhosts.apps]]"), _LIST] = (
        App(name="app"),
    )


class SourceFile(_Section):
    """A stream that pushcast itself feeds from a file."""

    vhost: Name = "default"
    app: Name = "app"
    name: Name
    url: SourceUrl


class Destinations(_Section):
    """Where pushes may go: ``deny`` beats ``allow``, an empty ``allow`` means all (see destinations.py)."""

    allow: DestinationRules = ()
    deny: DestinationRules = ()


class State(_Section):
    """Where pushcast keeps what must outlive it."""

    path: Folder = Field(default_factory=default_state_path)


class Sender(_Section):
    """The fan-out's intervals and threads.

    Below 5 ms a send costs more than what it carries.  Above 100 ms datagrams leave in bursts that eat the usual SRT
    latency of 120 ms; TCP peers buffer more, but half a second of silence is what they notice.  A thread that is busy
    for most of its time lengthens an interval up to ``*_most_ms``, which never is less than the interval itself.  More
    than 64 threads is more than any machine has cores to spare.
    """

    udp_ms: TickMs = 20
    srt_ms: TickMs = 20
    tcp_ms: TcpTickMs = 40
    udp_most_ms: TickMs = 40
    srt_most_ms: TickMs = 40
    tcp_most_ms: TcpTickMs = 200
    threads: Threads = 1


class Log(_Section):
    """How much is said."""

    level: Level = "INFO"


class Config(BaseSettings):
    """All of it, valid and frozen; made by load_config."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    api: Api = Api()
    rtmp: Rtmp = Rtmp()
    srt: Srt = Srt()
    vhosts: Annotated[tuple[Vhost, ...], Field(min_length=1, description="one or more tables [[vhosts]]"), _LIST] = (
        Vhost(name="default"),
    )
    sources: Annotated[tuple[SourceFile, ...], Field(description="tables [[sources]]"), _LIST] = ()
    destinations: Destinations = Destinations()
    state: State = Field(default_factory=State)
    sender: Sender = Sender()
    log: Log = Log()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before the file's keys, and nothing else."""
        return env_settings, init_settings

    @model_validator(mode="after")
    def _check_names(self) -> Config:
        apps: dict[str, set[str]] = {}
        for v, vhost in enumerate(self.vhosts):
            if vhost.name in apps:
                raise _misnamed(("vhosts", v, "name"), "each vhost name once")
            apps[vhost.name] = set()
            for a, app in enumerate(vhost.apps):
                if app.name in apps[vhost.name]:
                    raise _misnamed(("vhosts", v, "apps", a, "name"), "each app name once in its vhost")
                apps[vhost.name].add(app.name)
        streams: set[tuple[str, str, str]] = set()
        for s, source in enumerate(self.sources):
            if source.vhost not in apps:
                raise _misnamed(("sources", s, "vhost"), _one_of(apps), source.vhost)
            if source.app not in apps[source.vhost]:
                raise _misnamed(("sources", s, "app"), _one_of(apps[source.vhost]), source.app)
            stream = (source.vhost, source.app, source.name)
            if stream in streams:
                raise _misnamed(("sources", s, "name"), "each source name once in its app")
            streams.add(stream)
        return self

    @model_validator(mode="after")
    def _check_tokens(self) -> Config:
        apps = {vhost.name: {app.name for app in vhost.apps} for vhost in self.vhosts}
        names = {"access_token"}
        for t, token in enumerate(self.api.tokens):
            where: Location = ("api", "tokens", t)
            if token.name in names:
                raise _misnamed((*where, "name"), 'each token name once ("access_token" is that of api.access_token)')
            names.add(token.name)
            for v, vhost in enumerate(token.vhosts or ()):
                if vhost not in apps:
                    raise _misnamed((*where, "vhosts", v), _one_of(apps), vhost)
            reached = set[str]().union(*(apps[vhost] for vhost in token.vhosts or apps))
            for a, app in enumerate(token.apps or ()):
                if app not in reached:
                    raise _misnamed((*where, "apps", a), _one_of(reached), app)
        return self


def _misnamed(location: Location, allowed: str, default: str = "") -> PydanticCustomError:
    """A name that is right by itself and wrong beside the others; ``default`` is the name if none was written."""
    context = {"location": location, "allowed": allowed, "default": default}
    return PydanticCustomError("misnamed", "a name does not fit the others", context)


def _one_of(words: Iterable[str]) -> str:
    return " or ".join(f'"{word}"' for word in sorted(words))


def load_config(path: Path | None = None) -> Config:
    """The configuration from the file at ``path`` (None: no file) and the environment; raises ConfigError."""
    keys = _read_toml(path) if path is not None else {}
    variables = _read_environment()
    try:
        return Config(**_lists_by_index(keys))
    except ValidationError as error:
        written = Written(str(path) if path is not None else "configuration", keys, variables, PREFIX)
        raise ConfigError(Sentence(Config, written).about(error.errors(include_url=False)[0])) from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ConfigError(
                f"{path}: found more than {MAX_FILE_BYTES} bytes, allowed: a TOML file of at most that size"
            )
        return tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: found a byte at offset {error.start} that is not UTF-8, allowed: TOML text"
        ) from error
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"\((at .*)\)", str(error))
        raise ConfigError(f"{path}: found no valid TOML {place[1] if place else ''}, allowed: TOML 1.0") from None


def _read_environment() -> dict[str, Any]:
    """The keys that the environment sets.

    A variable counts as ours when it begins with PUSHCAST_ and names a key: container platforms invent others, such as
    PUSHCAST_PORT for a service of that name, but none of them has the double underscore.
    """
    for variable in os.environ:
        section, delimiter, _ = variable.upper().removeprefix(PREFIX).partition("__")
        if variable.upper().startswith(PREFIX) and delimiter and section.lower() not in Config.model_fields:
            raise ConfigError(f"{variable}: found an unknown section, allowed: {', '.join(Config.model_fields)}")
    try:
        return EnvSettingsSource(Config)()
    except SettingsError as error:
        quoted = re.search(r'"(\w+)"', str(error))
        variable = f"{PREFIX}{quoted[1].upper()}" if quoted else "environment"
        raise ConfigError(f"{variable}: found text that is not JSON, allowed: JSON") from None


def _lists_by_index(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _lists_by_index(item) for key, item in value.items()}
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return {str(index): _lists_by_index(item) for index, item in enumerate(value)}
    return value
