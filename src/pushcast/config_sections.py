"""The sections of the configuration, each valid by itself; how they fit together is for config.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, model_validator
from pydantic_core import PydanticCustomError

from pushcast.config_types import (
    LIST,
    REFERENCE,
    AbsolutePath,
    Connects,
    DestinationRules,
    Folder,
    Host,
    HttpUrl,
    Language,
    LatencyMs,
    Level,
    LongToken,
    MaxBitrateKbps,
    MaxStreams,
    MaxTracks,
    Name,
    NoInputS,
    Origins,
    OutputStreamName,
    Passphrase,
    PemFile,
    Port,
    PublisherNetworks,
    PublishKeys,
    RuleId,
    Scope,
    SecretWord,
    SourceUrl,
    SourceUrls,
    SrtPassphrases,
    TcpTickMs,
    Texts,
    Threads,
    TickMs,
    Token,
    TokenSecret,
    TrackIds,
    TrackIndex,
    TsListenUrl,
    UnusedS,
    VariantIndex,
    VariantName,
    WebhookTimeoutMs,
    Word,
)
from pushcast.pull_url import ALLOWED_URL


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
    role: Annotated[Literal["read", "push", "admin"], Field(description='"read", "push" or "admin"'), REFERENCE]
    vhosts: Annotated[Scope | None, Field(description="one or more names of vhosts; without the key all")] = None
    apps: Annotated[Scope | None, Field(description="one or more names of apps; without the key all")] = None


class Api(_Section):
    """Where the REST API listens; without a token one is made at the first start (see access_token.py).

    With ``tls_cert`` and ``tls_key`` it speaks TLS (api/tls.py); pages of ``cors_origins`` may use it (api/cors.py).
    """

    host: Host = "127.0.0.1"
    port: Port = 8081
    strict_ome: Annotated[bool, Field(description="true or false"), REFERENCE] = False
    mask_keys: Annotated[bool, Field(description="true or false"), REFERENCE] = False
    access_token: Annotated[
        Token | None, Field(description="1 to 1024 characters, none of them a control character")
    ] = None
    tokens: Annotated[tuple[ApiToken, ...], Field(description="tables [[api.tokens]]"), LIST] = ()
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
    """Where SRT publishers connect (ingest/srt.py); ``passphrase``: all of them must have it."""

    host: Host = "0.0.0.0"
    port: Port = 9999
    latency_ms: LatencyMs = 120
    passphrase: Annotated[
        Passphrase | None, Field(description="10 to 79 characters, none of them a control character")
    ] = None


class MpegTs(_Section):
    """A port that feeds one stream from a transport stream (ingest/mpegts.py)."""

    vhost: Name = "default"
    app: Name = "app"
    name: Name
    listen: TsListenUrl


class PushRule(_Section):
    """A push that every stream of the app with a matching name gets by itself (see streammap.py)."""

    id: RuleId = ""
    stream: Word
    protocol: Word
    url: SecretWord
    stream_key: SecretWord = SecretStr("")
    variant_names: Texts = ()
    enable: Annotated[bool, Field(description="true or false"), REFERENCE] = True


class Encode(_Section):
    """Tracks that an output stream has, passed on as they are (output_profile.py).

    Conditions, of which every one must hold: ``track_ids`` of the input, ``index`` among its tracks of the kind from 0,
    ``source_language``.  ``name`` and ``language`` are what the tracks get; empty: what they have.
    """

    name: VariantName = ""
    bypass: Annotated[Literal[True], Field(description="true: tracks pass as they are")] = True
    track_ids: TrackIds = ()
    index: Annotated[TrackIndex | None, Field(description="a whole number from 0 to 31")] = None
    source_language: Language = ""
    language: Language = ""


class OutputProfile(_Section):
    """One output stream of every input stream; without ``datas`` all data goes along."""

    name: Name
    output_stream_name: OutputStreamName
    videos: Annotated[tuple[Encode, ...], Field(description="tables [[vhosts.apps.output_profiles.videos]]"), LIST] = ()
    audios: Annotated[tuple[Encode, ...], Field(description="tables [[vhosts.apps.output_profiles.audios]]"), LIST] = ()
    datas: Annotated[
        tuple[Encode, ...] | None, Field(description="tables [[vhosts.apps.output_profiles.datas]]"), LIST
    ] = None


class PublishWebhook(_Section):
    """A control server that is asked about every publisher (ingest/webhook.py)."""

    url: HttpUrl
    secret: Token
    timeout_ms: WebhookTimeoutMs = 3000


class Publish(_Section):
    """Who may publish into an app over RTMP and SRT, and what (admission.py); without any of it everybody may all.

    ``deny`` beats ``allow``, an empty ``allow`` means all.  With ``keys`` or ``token_secret`` one of either must be
    shown.  ``srt_passphrases``: the first name that fits counts, and beats that of ``[srt]``.
    """

    allow: PublisherNetworks = ()
    deny: PublisherNetworks = ()
    keys: PublishKeys = ()
    token_secret: Annotated[
        TokenSecret | None, Field(description="32 to 1024 characters, none of them a control character")
    ] = None
    srt_passphrases: SrtPassphrases = {}
    duplicate: Annotated[Literal["reject", "replace"], Field(description='"reject" or "replace"'), REFERENCE] = "reject"
    max_streams: Annotated[MaxStreams | None, Field(description="a whole number from 1 to 100000")] = None
    max_tracks: Annotated[MaxTracks | None, Field(description="a whole number from 1 to 64")] = None
    max_bitrate_kbps: Annotated[
        MaxBitrateKbps | None, Field(description="a whole number of kbit/s from 1 to 10000000")
    ] = None
    webhook: PublishWebhook | None = None


class App(_Section):
    """An application of a virtual host; ``stream_map`` names a file with more rules, OvenMediaEngine's XML."""

    name: Name
    publish: Publish = Publish()
    stream_map: Annotated[AbsolutePath | None, Field(description="the absolute path of a file")] = None
    pushes: Annotated[tuple[PushRule, ...], Field(description="tables [[vhosts.apps.pushes]]"), LIST] = ()
    output_profiles: Annotated[
        tuple[OutputProfile, ...], Field(description="tables [[vhosts.apps.output_profiles]]"), LIST
    ] = ()


class Vhost(_Section):
    """A virtual host and its applications."""

    name: Name
    apps: Annotated[tuple[App, ...], Field(min_length=1, description="one or more tables [[vhosts.apps]]"), LIST] = (
        App(name="app"),
    )


class PulledSource(_Section):
    """A stream that pushcast itself gets, from ``url`` or from the first of ``urls`` that has it (ingest/pull.py).

    With ``unused_s`` it is pulled on demand, and given up when no push has taken it for so long.
    """

    vhost: Name = "default"
    app: Name = "app"
    name: Name
    url: SourceUrl | None = Field(None, description=ALLOWED_URL, repr=False)
    urls: SourceUrls = Field((), repr=False)
    no_input_s: NoInputS = 3.0
    unused_s: Annotated[UnusedS | None, Field(description="seconds from 1 to 86400")] = None

    @property
    def all_urls(self) -> tuple[str, ...]:
        return self.urls or ((self.url,) if self.url is not None else ())


class MultiplexTrack(_Section):
    """A track of an input: its variant name there, and what it gets."""

    track: VariantIndex
    name: VariantName = ""
    language: Language = ""


class MultiplexInput(_Section):
    """An output stream of the same vhost whose tracks are taken; without ``tracks`` all of them."""

    app: Annotated[Name | None, Field(description="the name of an app")] = None
    stream: Name
    tracks: Annotated[tuple[MultiplexTrack, ...], Field(description="tables [[multiplex.inputs.tracks]]"), LIST] = ()


class Multiplex(_Section):
    """A stream made of tracks of live streams (ingest/multiplex.py).

    ``align``: by when their frames come, or by the time stamps that their publishers gave them.
    """

    vhost: Name = "default"
    app: Name = "app"
    name: Name
    align: Annotated[Literal["arrival", "timestamps"], Field(description='"arrival" or "timestamps"'), REFERENCE] = (
        "arrival"
    )
    inputs: Annotated[
        tuple[MultiplexInput, ...], Field(min_length=1, description="one or more tables [[multiplex.inputs]]"), LIST
    ]


class Destinations(_Section):
    """Where pushes may go: ``deny`` beats ``allow``, an empty ``allow`` means all (see destinations.py).

    ``connects_at_once``: each a socket that waits for its peer; with less than four nobody could be held to a share.
    """

    allow: DestinationRules = ()
    deny: DestinationRules = ()
    connects_at_once: Connects = 256


class Pull(_Section):
    """What the API may pull of this host's files: those below ``files_below``, without it none (ingest/network.py)."""

    files_below: Annotated[AbsolutePath | None, Field(description="the absolute path of a folder")] = None


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
