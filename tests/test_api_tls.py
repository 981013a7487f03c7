"""TLS of the API: real handshakes, certificates that change while it serves, and files that are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from certificates import openssl

from pushcast.api.tls import MAX_FILE_BYTES, ServerTls
from pushcast.errors import ConfigError

DEADLINE_S = 10.0
EC = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
RSA = ["rsa:2048"]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


def make(folder: Path, name: str, kind: list[str] = EC) -> tuple[Path, Path]:
    """A self-signed certificate for ``localhost`` and its key; ``name`` tells it from others."""
    cert, key = folder / f"{name}.crt", folder / f"{name}.key"
    openssl(
        *("req", "-x509", "-nodes", "-days", "30", "-newkey", *kind, "-keyout", key, "-out", cert),
        *("-subj", f"/O={name}/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
    )
    return cert, key


def put(source: tuple[Path, Path], target: tuple[Path, Path]) -> None:
    """What a renewal does: other files take the place of the old ones."""
    for new, old in zip(source, target, strict=True):
        draft = old.with_suffix(".draft")
        draft.write_bytes(new.read_bytes())
        os.replace(draft, old)


@contextlib.asynccontextmanager
async def serving(tls: ServerTls) -> AsyncIterator[int]:
    """An echo server; its port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(100):
                writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0, ssl=tls.context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def client(trusted: Path, change: Callable[[ssl.SSLContext], object] = lambda context: None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(trusted))
    change(context)
    return context


async def dial(
    port: int, context: ssl.SSLContext, name: str = "localhost"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    async with asyncio.timeout(DEADLINE_S):
        return await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname=name)


async def organisation(port: int, context: ssl.SSLContext, name: str = "localhost") -> str:
    """Which certificate a new connection gets, after the client has verified it and its echo came back."""
    reader, writer = await dial(port, context, name)
    await echoed(reader, writer)
    subject = dict(pair for (pair,) in writer.get_extra_info("peercert")["subject"])
    writer.close()
    return str(subject["organizationName"])


async def echoed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"4711")
    async with asyncio.timeout(DEADLINE_S):
        assert await reader.readexactly(4) == b"4711"


def only(version: ssl.TLSVersion) -> Callable[[ssl.SSLContext], None]:
    def change(context: ssl.SSLContext) -> None:
        context.minimum_version = context.maximum_version = version

    return change


@pytest.mark.parametrize("kind", [EC, RSA], ids=["ec", "rsa"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_that_verifies_is_served(tmp_path: Path, kind: list[str], version: ssl.TLSVersion) -> None:
    cert, key = make(tmp_path, "first", kind)
    async with serving(ServerTls(cert, key)) as port:
        assert await organisation(port, client(cert, only(version))) == "first"


async def test_a_client_that_names_no_server_is_served(tmp_path: Path) -> None:
    """An address is no server name, so its ClientHello has none."""
    cert, key = make(tmp_path, "first")
    async with serving(ServerTls(cert, key)) as port:
        assert await organisation(port, client(cert), "127.0.0.1") == "first"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
async def test_tls_1_1_is_refused(tmp_path: Path) -> None:
    """Also where the system's security level would let it pass."""

    def lax(context: ssl.SSLContext) -> None:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")

    def old(context: ssl.SSLContext) -> None:
        lax(context)
        only(ssl.TLSVersion.TLSv1_1)(context)

    cert, key = make(tmp_path, "first")
    tls = ServerTls(cert, key)
    lax(tls.context)
    lax(tls._newest)
    async with serving(tls) as port:
        assert await organisation(port, client(cert, lax)) == "first"
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await organisation(port, client(cert, old))


@pytest.mark.parametrize("kind", [EC, RSA], ids=["same-kind", "other-kind"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_new_connections_get_the_new_certificate_and_old_ones_go_on(
    tmp_path: Path, kind: list[str], version: ssl.TLSVersion, said: pytest.LogCaptureFixture
) -> None:
    cert, key = make(tmp_path, "served")
    first_trusted = tmp_path / "first.pem"
    first_trusted.write_bytes(cert.read_bytes())
    second = make(tmp_path, "second", kind)
    tls = ServerTls(cert, key)
    async with serving(tls) as port:
        old = await dial(port, client(first_trusted, only(version)))
        await echoed(*old)
        assert tls.reload_if_changed() is False
        put(second, (cert, key))
        assert tls.reload_if_changed() is True
        assert tls.reload_if_changed() is False
        assert await organisation(port, client(second[0], only(version))) == "second"
        with pytest.raises(ssl.SSLCertVerificationError):
            await organisation(port, client(first_trusted, only(version)))
        await echoed(*old)
        old[1].close()
    assert said.text.count(f"new connections get the certificate that is in {cert} now") == 1


async def test_wrong_new_files_leave_the_old_certificate_and_are_logged_once(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    cert, key = make(tmp_path, "served")
    trusted = tmp_path / "first.pem"
    trusted.write_bytes(cert.read_bytes())
    second = make(tmp_path, "second")
    tls = ServerTls(cert, key)
    async with serving(tls) as port:
        for number, breaking in enumerate(
            (
                lambda: cert.write_text("no certificate"),
                lambda: put((second[0], second[0]), (cert, key)),
                lambda: cert.unlink(),
                lambda: put((second[0], trusted), (cert, key)),
            ),
            start=1,
        ):
            breaking()
            assert [tls.reload_if_changed() for _ in range(3)] == [False] * 3
            assert said.text.count("the certificate stays the one before: api.tls_") == number
            assert await organisation(port, client(trusted)) == "served"
        put(second, (cert, key))
        assert tls.reload_if_changed() is True
        assert await organisation(port, client(second[0])) == "second"


async def test_a_renewal_between_its_two_files_serves_the_old_pair(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "served")
    trusted = tmp_path / "first.pem"
    trusted.write_bytes(cert.read_bytes())
    second = make(tmp_path, "second")
    tls = ServerTls(cert, key)
    async with serving(tls) as port:
        os.replace(second[0], cert)
        assert tls.reload_if_changed() is False
        assert await organisation(port, client(trusted)) == "served"
        os.replace(second[1], key)
        assert tls.reload_if_changed() is True
        assert await organisation(port, client(cert)) == "second"


async def test_a_link_that_points_elsewhere_is_a_change(tmp_path: Path) -> None:
    """How certbot and Kubernetes renew."""
    first, second = make(tmp_path, "first"), make(tmp_path, "second")
    links = tmp_path / "live.crt", tmp_path / "live.key"
    for link, file in zip(links, first, strict=True):
        link.symlink_to(file)
    tls = ServerTls(*links)
    for link, file in zip(links, second, strict=True):
        link.unlink()
        link.symlink_to(file)
    async with serving(tls) as port:
        assert tls.reload_if_changed() is True
        assert await organisation(port, client(second[0])) == "second"


Breaking = Callable[[Path, Path], object]


def encrypt(cert: Path, key: Path) -> None:
    openssl("pkcs8", "-topk8", "-in", key, "-out", key.with_suffix(".enc"), "-passout", "pass:swordfish")
    os.replace(key.with_suffix(".enc"), key)


def encrypt_old(cert: Path, key: Path) -> None:
    """The older form, whose header says that it is encrypted (RFC 1421)."""
    openssl("ec", "-in", key, "-aes128", "-out", key.with_suffix(".enc"), "-passout", "pass:swordfish")
    os.replace(key.with_suffix(".enc"), key)


def to_der(cert: Path, key: Path) -> None:
    openssl("x509", "-in", cert, "-outform", "der", "-out", cert.with_suffix(".der"))
    os.replace(cert.with_suffix(".der"), cert)


def key_of_another(kind: list[str]) -> Breaking:
    def breaking(cert: Path, key: Path) -> None:
        os.replace(make(cert.parent, "another", kind)[1], key)

    return breaking


def garble(cert: Path, key: Path) -> None:
    begin, *middle, end = key.read_text().splitlines()
    key.write_text("\n".join([begin, *("A" * len(line) for line in middle), end]))


@pytest.mark.parametrize(
    ("breaking", "key", "what"),
    [
        (lambda cert, key: cert.unlink(), "tls_cert", "cannot be read: No such file or directory"),
        (lambda cert, key: key.unlink(), "tls_key", "cannot be read: No such file or directory"),
        (lambda cert, key: (cert.unlink(), cert.mkdir()), "tls_cert", "cannot be read: Is a directory"),
        (lambda cert, key: cert.write_bytes(b""), "tls_cert", "holds no certificate in PEM"),
        (lambda cert, key: cert.write_bytes(b"\xff\0 words"), "tls_cert", "holds no certificate in PEM"),
        (to_der, "tls_cert", "holds no certificate in PEM"),
        (lambda cert, key: cert.write_bytes(key.read_bytes()), "tls_cert", "holds no certificate in PEM"),
        (lambda cert, key: key.write_bytes(cert.read_bytes()), "tls_key", "holds no private key in PEM"),
        (lambda cert, key: key.write_bytes(b""), "tls_key", "holds no private key in PEM"),
        (garble, "tls_key", "OpenSSL refuses together with its certificate ("),
        (key_of_another(EC), "tls_key", 'is not the key of "'),
        (key_of_another(RSA), "tls_key", 'is not the key of "'),
        (encrypt, "tls_key", "is encrypted"),
        (encrypt_old, "tls_key", "is encrypted"),
        (lambda cert, key: cert.write_bytes(bytes(MAX_FILE_BYTES + 1)), "tls_cert", f"has more than {MAX_FILE_BYTES}"),
        (lambda cert, key: key.write_bytes(bytes(MAX_FILE_BYTES + 1)), "tls_key", f"has more than {MAX_FILE_BYTES}"),
    ],
)
def test_one_sentence_for_wrong_files(tmp_path: Path, breaking: Breaking, key: str, what: str) -> None:
    files = make(tmp_path, "broken")
    secret = files[1].read_text().splitlines()[1]
    breaking(*files)
    with pytest.raises(ConfigError) as caught:
        ServerTls(*files)
    wrong = files[0] if key == "tls_cert" else files[1]
    assert str(caught.value).startswith(f'api.{key}: found "{wrong}", which {what}')
    allowed = "certificate, followed by its chain" if key == "tls_cert" else "private key without a passphrase"
    assert str(caught.value).endswith(f", allowed: a PEM file with a {allowed}")
    assert secret not in str(caught.value)


async def test_certificate_chain_and_key_in_one_file_between_comments(tmp_path: Path) -> None:
    cert, key = make(tmp_path, "first")
    whole = tmp_path / "whole.pem"
    whole.write_bytes("# für den Empfang\n".encode("latin-1") + cert.read_bytes() + key.read_bytes())
    async with serving(ServerTls(whole, whole)) as port:
        assert await organisation(port, client(cert)) == "first"
