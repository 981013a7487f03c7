"""RTMPS egress: whom we trust, what each failure is called, sessions that are resumed, the settings of a request."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
from certificates import Certificate, Certificates
from rtmp_peer import SECRET, Served, served

from pushcast.egress import rtmp
from pushcast.egress.rtmp import RtmpLink, RtmpProtocol, RtmpTarget
from pushcast.egress.tls import TlsSettings, read_tls
from pushcast.errors import ConnectionLost, ConnectTimeout, EngineError, InvalidRequest, Retry, TlsError


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


def server_side(shown: Certificate, client_authority: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shown.cert, shown.key)
    if client_authority is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_authority.cert)
    return context


async def live(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that takes the stream and reads until its end."""
    await Served(reader, writer).until_live()
    with contextlib.suppress(ssl.SSLError):
        await reader.read(-1)


async def connect(target: RtmpTarget, protocol: RtmpProtocol | None = None) -> RtmpLink:
    return await (protocol or RtmpProtocol()).connect(target, 312_500)


@contextlib.asynccontextmanager
async def connected(target: RtmpTarget, protocol: RtmpProtocol | None = None) -> AsyncIterator[RtmpLink]:
    link = await connect(target, protocol)
    try:
        yield link
    finally:
        await link.close()


def authorities(certificates: Certificates) -> dict[str, Any]:
    return {"tls": {"ca": certificates.authority.cert.read_text()}}


async def test_a_server_that_the_authority_vouches_for(certificates: Certificates) -> None:
    tls = server_side(certificates.issued("good"))
    async with served(live, tls, authorities(certificates)) as target, connected(target) as link:
        shown = link.described()["tls"]
        assert shown["version"] == "TLSv1.3"
        assert (shown["verifiedBy"], shown["resumed"]) == ("authorities and name", False)
        assert target.warnings == ()


async def test_an_address_that_the_certificate_names(certificates: Certificates) -> None:
    tls = server_side(certificates.issued("good"))
    async with served(live, tls, authorities(certificates)) as target:
        url = f"rtmps://127.0.0.1:{target.port}/app"
        async with connected(RtmpProtocol().parse(url, SECRET, authorities(certificates))):
            pass


UNTRUSTED = {
    "expired": "its certificate has expired",
    "wrong name": "its certificate is for another name than localhost",
    "self-signed": "its certificate is self-signed: pin it with tls.fingerprint, or trust it with tls.ca",
    "unknown issuer": "nobody that we trust has issued its certificate: tls.ca takes other authorities",
}


def shown_for(certificates: Certificates, case: str) -> Certificate:
    if case == "expired":
        return certificates.issued("expired", days=-1)
    if case == "wrong name":
        return certificates.issued("other", "DNS:other.example.net")
    return certificates.self_signed("alone") if case == "self-signed" else certificates.issued("good")


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_each_failure_has_its_sentence(certificates: Certificates, case: str) -> None:
    options = {} if case in ("self-signed", "unknown issuer") else authorities(certificates)
    async with served(live, server_side(shown_for(certificates, case)), options) as target:
        with pytest.raises(TlsError) as caught:
            await connect(target)
    assert str(caught.value) == f"rtmps {target.endpoint}: the TLS handshake failed: {UNTRUSTED[case]}"
    assert caught.value.retry is Retry.NEVER


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_insecure_takes_any_certificate_and_says_so(certificates: Certificates, case: str) -> None:
    options = {"tls": {"insecure": True}}
    async with served(live, server_side(shown_for(certificates, case)), options) as target, connected(target) as link:
        assert link.described()["tls"]["verifiedBy"] == "nothing"
        (warning,) = target.warnings
        assert warning.startswith("tls.insecure: the server's certificate is not checked")


@pytest.mark.parametrize("case", UNTRUSTED)
async def test_a_pinned_certificate_counts_instead_of_authorities(certificates: Certificates, case: str) -> None:
    shown = shown_for(certificates, case)
    options = {"tls": {"fingerprint": shown.fingerprint}}
    async with served(live, server_side(shown), options) as target, connected(target) as link:
        assert link.described()["tls"]["verifiedBy"] == "fingerprint"


async def test_another_certificate_than_the_pinned_one(certificates: Certificates) -> None:
    good, other = certificates.issued("good"), certificates.self_signed("alone")
    options = {"tls": {"fingerprint": other.fingerprint}}
    async with served(live, server_side(good), options) as target:
        with pytest.raises(TlsError) as caught:
            await connect(target)
    found, wanted = (each.fingerprint.replace(":", "").lower() for each in (good, other))
    assert f"the fingerprint of its certificate is {found}, tls.fingerprint is {wanted}" in str(caught.value)


async def plain_rtmp(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.write(b"\x03" + bytes(1536))
    await reader.read(-1)


async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)


async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(100)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        (plain_rtmp, TlsError, "what it answered is not TLS: this is a plain-text port, which rtmp:// reaches"),
        (hangs_up, TlsError, "it closed the connection in the middle of it, as a plain-text port does"),
        (resets, ConnectionLost, "the connection was lost during the TLS handshake: Connection reset by peer"),
        (mute, ConnectTimeout, "expected a TLS handshake within 0.3 s, got no answer: a plain-text port"),
    ],
)
async def test_ports_that_speak_no_tls(
    script: Any, kind: type[EngineError], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtmp, "STEP_TIMEOUT_S", 0.3)
    async with served(script, scheme="rtmps") as target:
        with pytest.raises(EngineError) as caught:
            await connect(target)
    assert type(caught.value) is kind
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"rtmps {target.endpoint}: ")


async def test_a_server_that_asks_for_a_certificate(certificates: Certificates) -> None:
    ours = certificates.issued("client")
    tls = server_side(certificates.issued("good"), certificates.authority)
    given = {"certificate": ours.cert.read_text(), "key": ours.key.read_text()}
    options = {"tls": {**authorities(certificates)["tls"], **given}}
    async with served(live, tls, options) as target, connected(target) as link:
        assert link.described()["tls"]["version"] == "TLSv1.3"
    async with served(live, tls, authorities(certificates)) as target:
        with pytest.raises(EngineError, match=r"^rtmps localhost"):
            await connect(target)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_is_resumed(certificates: Certificates, version: ssl.TLSVersion) -> None:
    tls = server_side(certificates.issued("good"))
    tls.maximum_version = version
    protocol = RtmpProtocol()
    resumed = []
    async with served(live, tls, authorities(certificates)) as target:
        for _ in range(3):
            async with connected(target, protocol) as link:
                resumed.append(link.described()["tls"]["resumed"])
    assert resumed == [False, True, True]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_old_versions_are_refused(certificates: Certificates) -> None:
    tls = server_side(certificates.issued("good"))
    tls.minimum_version = ssl.TLSVersion.TLSv1
    tls.maximum_version = ssl.TLSVersion.TLSv1_1
    tls.set_ciphers("ALL:@SECLEVEL=0")
    async with served(live, tls, authorities(certificates)) as target:
        with pytest.raises(TlsError, match="the TLS handshake failed"):
            await connect(target)


READ = [
    ({}, TlsSettings()),
    ({"serverName": "live.example.net"}, TlsSettings(server_name="live.example.net")),
    ({"fingerprint": "ab" * 32}, TlsSettings(fingerprint=bytes([0xAB] * 32))),
    ({"fingerprint": "sha256:" + ":".join(["AB"] * 32)}, TlsSettings(fingerprint=bytes([0xAB] * 32))),
    ({"insecure": True}, TlsSettings(insecure=True)),
]
REFUSED = [
    ("yes", "tls: found str, allowed an object with serverName, ca, fingerprint, certificate, key, insecure"),
    ({"cafile": "x"}, "tls.cafile: not known, allowed are serverName, ca, fingerprint, certificate, key, insecure"),
    ({"insecure": 1}, "tls.insecure: found int, allowed bool"),
    ({"ca": None}, "tls.ca: found NoneType, allowed str"),
    ({"ca": "x"}, "tls.ca: no certificate in PEM form in it"),
    ({"ca": "x" * 70_000}, "tls.ca: found 70000 characters, allowed 65536"),
    ({"fingerprint": "ab"}, "tls.fingerprint: found 'ab', allowed the SHA-256 of a certificate, 64 hexadecimal digits"),
    ({"fingerprint": "zz" * 32}, "tls.fingerprint: found '"),
    ({"serverName": "a" * 300}, "tls.serverName: found 'aaaa"),
    ({"certificate": "x"}, "tls.certificate and tls.key: found one of them, allowed both or none"),
    ({"certificate": "x", "key": "y"}, "tls.certificate: no certificate in PEM form in it"),
]


@pytest.mark.parametrize(("member", "settings"), READ)
def test_settings(member: dict[str, Any], settings: TlsSettings) -> None:
    assert read_tls(member) == settings


@pytest.mark.parametrize(("member", "words"), REFUSED)
def test_refused_settings(member: object, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_tls(member)
    assert str(caught.value).startswith(words)


def test_keys_that_cannot_be_used(certificates: Certificates) -> None:
    one, other = certificates.self_signed("one"), certificates.self_signed("two")
    for key, words in (
        (other.key.read_text(), "tls.key: it does not belong to the certificate"),
        ("no PEM", "tls.key: no private key in PEM form, without a password, in it"),
    ):
        with pytest.raises(InvalidRequest) as caught:
            read_tls({"certificate": one.cert.read_text(), "key": key})
        assert str(caught.value) == words


def test_a_password_is_not_asked_for_on_the_terminal(certificates: Certificates) -> None:
    from certificates import openssl

    one = certificates.self_signed("one")
    locked = one.key.with_suffix(".locked")
    openssl("ec", "-in", one.key, "-aes128", "-passout", "pass:abcd", "-out", locked)
    with pytest.raises(InvalidRequest, match="without a password"):
        read_tls({"certificate": one.cert.read_text(), "key": locked.read_text()})


def test_tls_with_a_plain_url() -> None:
    with pytest.raises(InvalidRequest, match=r"^tls: found with an rtmp:// url, allowed with rtmps://$"):
        RtmpProtocol().parse("rtmp://h/app", "k", {"tls": {}})


def test_no_secret_in_a_repr(certificates: Certificates) -> None:
    one = certificates.self_signed("one")
    given = {"certificate": one.cert.read_text(), "key": one.key.read_text()}
    shown = repr(RtmpProtocol().parse("rtmps://h/app", "k", {"tls": given}))
    assert "PRIVATE" not in shown
    assert "BEGIN" not in shown
