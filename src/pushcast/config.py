"""The configuration: a TOML file, the environment over it, checked once and frozen.

Every key may also come from the environment, ``api.port`` as ``PUSHCAST_API__PORT`` and ``vhosts[0].name`` as
``PUSHCAST_VHOSTS__0__NAME``; the environment beats the file.  Any string or number may be a reference to a variable or
a file (config_types.py), so that a secret need not stand in the file.

What is wrong stops the start with one sentence: where, which key, what was found, what is allowed (config_sentence.py).
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from pushcast.config_sections import (
    Api,
    Destinations,
    Log,
    MpegTs,
    Multiplex,
    Pull,
    PulledSource,
    Rtmp,
    Sender,
    Srt,
    State,
    Vhost,
)
from pushcast.config_sentence import Location, Sentence, Written
from pushcast.config_types import LIST, MAX_FILE_BYTES
from pushcast.errors import ConfigError

PREFIX = "PUSHCAST_"


class Config(BaseSettings):
    """All of it, valid and frozen; made by load_config."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, hide_input_in_errors=True, env_prefix=PREFIX, env_nested_delimiter="__"
    )

    api: Api = Api()
    rtmp: Rtmp = Rtmp()
    srt: Srt = Srt()
    vhosts: Annotated[tuple[Vhost, ...], Field(min_length=1, description="one or more tables [[vhosts]]"), LIST] = (
        Vhost(name="default"),
    )
    mpegts: Annotated[tuple[MpegTs, ...], Field(description="tables [[mpegts]]"), LIST] = ()
    sources: Annotated[tuple[PulledSource, ...], Field(description="tables [[sources]]"), LIST] = ()
    multiplex: Annotated[tuple[Multiplex, ...], Field(description="tables [[multiplex]]"), LIST] = ()
    destinations: Destinations = Destinations()
    pull: Pull = Pull()
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
        fed: list[tuple[Location, MpegTs | PulledSource | Multiplex]] = [
            *((("mpegts", index), port) for index, port in enumerate(self.mpegts)),
            *((("sources", index), source) for index, source in enumerate(self.sources)),
            *((("multiplex", index), multiplex) for index, multiplex in enumerate(self.multiplex)),
        ]
        for where, each in fed:
            if each.vhost not in apps:
                raise _misnamed((*where, "vhost"), _one_of(apps), each.vhost)
            if each.app not in apps[each.vhost]:
                raise _misnamed((*where, "app"), _one_of(apps[each.vhost]), each.app)
            stream = (each.vhost, each.app, each.name)
            if stream in streams:
                raise _misnamed((*where, "name"), "each name that is fed once in its app")
            streams.add(stream)
        return self

    @model_validator(mode="after")
    def _check_sources(self) -> Config:
        for s, source in enumerate(self.sources):
            if (source.url is None) == (not source.urls):
                reason = "urls is there, too" if source.urls else "nor urls"
                context = {"reason": reason, "location": ("sources", s, "url")}
                raise PydanticCustomError("pushcast", "{reason}", context)
        return self

    @model_validator(mode="after")
    def _check_profiles(self) -> Config:
        for v, vhost in enumerate(self.vhosts):
            for a, app in enumerate(vhost.apps):
                for key in ("name", "output_stream_name"):
                    seen = set[str]()
                    for p, profile in enumerate(app.output_profiles):
                        if getattr(profile, key) in seen:
                            where: Location = ("vhosts", v, "apps", a, "output_profiles", p, key)
                            raise _misnamed(where, f"each {key} once in its app")
                        seen.add(getattr(profile, key))
        return self

    @model_validator(mode="after")
    def _check_multiplex(self) -> Config:
        apps = self._apps()
        made = {(each.vhost, each.app, each.name) for each in self.multiplex}
        for m, multiplex in enumerate(self.multiplex):
            taken = set[tuple[str, str]]()
            for i, each in enumerate(multiplex.inputs):
                where: Location = ("multiplex", m, "inputs", i)
                app = each.app or multiplex.app
                if app not in apps[multiplex.vhost]:
                    raise _misnamed((*where, "app"), _one_of(apps[multiplex.vhost]), app)
                if (multiplex.vhost, app, each.stream) in made:
                    raise _misnamed((*where, "stream"), "a stream that is no multiplex itself", each.stream)
                if (app, each.stream) in taken:
                    raise _misnamed((*where, "stream"), "each stream once in its multiplex")
                taken.add((app, each.stream))
        return self

    @model_validator(mode="after")
    def _check_tokens(self) -> Config:
        apps = self._apps()
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

    def _apps(self) -> dict[str, set[str]]:
        """The names of apps, by vhost."""
        return {vhost.name: {app.name for app in vhost.apps} for vhost in self.vhosts}


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
