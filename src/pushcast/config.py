"""The configuration: a TOML file, the environment over it, checked once and frozen.

Every key may also come from the environment, ``api.port`` as ``PUSHCAST_API__PORT`` and ``vhosts[0].name`` as
``PUSHCAST_VHOSTS__0__NAME``; the environment beats the file.  Any string or number may be a reference, ``env:NAME`` or
``file:/path`` (its content, stripped), so that a secret need not stand in the file.

What is wrong stops the start with one sentence: where, which key, what was found, what is allowed (config_sentence.py).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
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

from pushcast.config_sentence import Location, Sentence, Written
from pushcast.errors import ConfigError
from pushcast.file_url import ALLOWED_URL, parse_file_url

PREFIX = "PUSHCAST_"
MAX_FILE_BYTES = 1 << 20  # thousands of sources fit; a larger file is a mistaken path (a clip, a device)

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HOST = re.compile(r"[0-9A-Za-z._:%-]{1,255}")
# Names are segments of the API's paths, and a colon there divides an app from its action.
_NAME = re.compile(r"[^/:\x00-\x20\x7f?#%\\]{1,128}")
_TOKEN = re.compile(r"[^\x00-\x1f\x7f]{1,1024}")


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
    str, Field(description="1 to 128 characters, none of them a space or / : ? # % \\"), _matching(_NAME), _REFERENCE
]
Token = Annotated[
    SecretStr,
    Field(description="1 to 1024 characters, none of them a control character"),
    _matching(_TOKEN),
    _REFERENCE,
]
Folder = Annotated[Path, Field(description="the path of a folder"), BeforeValidator(_expand_home), _REFERENCE]
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


class Api(_Section):
    """Where the REST API listens; without a token one is made at the first start (see access_token.py)."""

    host: Host = "127.0.0.1"
    port: Port = 8081
    access_token: Annotated[
        Token | None, Field(description="1 to 1024 characters, none of them a control character")
    ] = None


class Rtmp(_Section):
    """Where RTMP publishers connect."""

    host: Host = "0.0.0.0"
    port: Port = 1935


class Srt(_Section):
    """Accepted for the SRT ingest to come; nothing listens there yet."""

    host: Host = "0.0.0.0"
    port: Port = 9999


class App(_Section):
    """An application of a virtual host."""

    name: Name


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
