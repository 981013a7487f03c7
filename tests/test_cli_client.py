"""Client commands beside servers that refuse, break, are strangers or are not there, and beside wrong command lines."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_server import APP, DEADLINE_S, KEY, PUSH, TOKEN, ApiServer, api_server, environment, pushcast

from pushcast.cli.client import Client
from pushcast.cli.credentials import AccessToken
from pushcast.cli.failure import Unreachable
from pushcast.cli.server_url import parse_server_url

# (status, message, what is said)
REFUSALS = [
    (404, "[HTTP] Could not find id 'p': [default/app] (404)", "Could not find id 'p': [default/app]"),
    (409, "[HTTP] Duplicate ID (409)", "Duplicate ID"),
    (400, "[HTTP] [JSON] * Line 1, Column 2\n  Syntax error: value expected.\n (400)", "[JSON] * Line 1, Column 2 "),
    (503, "bare \x1b[31mwords", "bare \\x1b[31mwords"),
    (
        401,
        "[HTTP] Invalid credential (401)",
        "Invalid credential (the token is that of --token or PUSHCAST_TOKEN)",
    ),
    (
        404,
        "[HTTP] Controller not found (404)",
        f"Controller not found (this server does not know POST {APP}:stopPush)",
    ),
]


@pytest.mark.parametrize(("status", "message", "said"), REFUSALS)
def test_a_refusal_is_what_the_server_said(
    api: ApiServer, variables: dict[str, str], status: int, message: str, said: str
) -> None:
    api.on(":stopPush", None, status, message)
    answer = pushcast(variables, "push", "stop", "p", "--json")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert answer.stderr.startswith(f"pushcast: {said}")
    assert answer.stderr.count("\n") == 1
    assert TOKEN not in answer.stderr


@contextlib.contextmanager
def stranger(words: bytes, after: bytes) -> Iterator[int]:
    """The port of somebody who says these words to whoever has said what ends with ``after``, and leaves."""

    def answer() -> None:
        with listening.accept()[0] as connection:
            connection.settimeout(DEADLINE_S)
            heard = connection.recv(65536)
            while not heard.endswith(after):
                heard += connection.recv(65536)
            connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=answer)
        thread.start()
        yield listening.getsockname()[1]
        thread.join(DEADLINE_S)


# (what whoever listens there says, exit code, words of the sentence)
STRANGERS = [
    (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", 3, "it does not speak HTTP"),
    (b"", 3, "it closed the connection without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", 1, "found an answer with status 200 that is not the API's"),
    (b"HTTP/1.1 301 Moved\r\nLocation: http://h/\r\nContent-Length: 0\r\n\r\n", 1, "found an answer with status 301"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{}", 3, "its answer broke off"),
]


@pytest.mark.parametrize(("words", "code", "said"), STRANGERS)
def test_somebody_else_listens_there(variables: dict[str, str], words: bytes, code: int, said: str) -> None:
    with stranger(words, after=b"\r\n\r\n{}") as port:
        url = f"http://127.0.0.1:{port}"
        answer = pushcast(variables, "push", "list", "--url", url)
    assert (answer.returncode, answer.stdout) == (code, "")
    assert answer.stderr.startswith(f"pushcast: {url}")
    assert said in answer.stderr
    assert "PUSHCAST_URL" in answer.stderr
    assert answer.stderr.count("\n") == 1


# URLs where nothing answers, and why
AWAY = [
    ("http://127.0.0.1:{free}", "Connection refused"),
    ("http://a..example", "that is no host name"),
]


@pytest.mark.parametrize(("url", "said"), AWAY)
def test_a_server_that_cannot_be_reached_is_exit_code_3(variables: dict[str, str], url: str, said: str) -> None:
    with socket.socket() as bound:  # bound and not listening: nobody else takes the port, and it refuses
        bound.bind(("127.0.0.1", 0))
        url = url.format(free=bound.getsockname()[1])
        for command in (["push", "list"], ["push", "watch"]):
            answer = pushcast(variables | {"PUSHCAST_URL": url}, *command)
            assert (answer.returncode, answer.stdout) == (3, "")
            assert answer.stderr.startswith(f"pushcast: {url} cannot be reached: ")
            assert said in answer.stderr
            assert answer.stderr.count("\n") == 1


def test_a_server_that_says_nothing_is_not_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = parse_server_url(f"http://127.0.0.1:{silent.getsockname()[1]}")
        client = Client(url, AccessToken("", ""), timeout_s=0.05)
        for ask in (lambda: client.call("GET", "/v1/version"), lambda: client.stream("/v1/events", {})):
            with pytest.raises(Unreachable, match=r"cannot be reached: no answer in 0\.05 s"):
                ask()


# (arguments, words of the error)
WRONG = [
    (["push", "start", "p", "rtmp://h/a"], "Missing option '--stream'"),
    (["push", "start", "p", f"h.example/{KEY}", "--stream", "s"], "URL: found no scheme, allowed: rtmp://, "),
    (["push", "start", "p", f"ftp://h/{KEY}", "--stream", "s"], "URL: found ftp://, allowed: rtmp://, "),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--key", KEY, "--key-file", "-"], "allowed: one of them"),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--key-file", "-"], "--key-file: found 0 bytes"),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--key", f"{KEY}\n"], "--key: found characters that"),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--track", "-1"], "--track"),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--start-at", "soon"], "found 'soon', allowed: an ISO 8601"),
    (["push", "start", "p", "rtmp://h/a", "--stream", "s", "--max-duration", "0"], "--max-duration"),
    (["push", "list", "--url", "ftp://h"], "found 'ftp://h', allowed: http://host[:port]"),
    (["push", "list", "--url", f"http://{KEY}@h"], "found user info, allowed: "),
    (["push", "list", "--url", "http://h:99999"], "found no URL, allowed: "),
    (["push", "list", "--ca", "/nowhere/ca.pem"], "--ca"),
    (["push", "list", "--ca", __file__, "--url", "https://127.0.0.1"], "found no certificate, allowed: "),
    (["push", "list", "--ca", __file__], "found a URL without TLS"),
    (["push", "stop"], "Missing argument 'ID'"),
    (["push", "stop", b"\xff".decode(errors="surrogateescape")], "found bytes that are no UTF-8"),
    (["push", "halt", "p"], "No such command 'halt'"),
]


@pytest.mark.parametrize(("arguments", "said"), WRONG)
def test_a_wrong_command_line_is_exit_code_2(
    api: ApiServer, variables: dict[str, str], arguments: list[str], said: str
) -> None:
    answer = pushcast(variables, *arguments)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    assert KEY not in answer.stderr
    assert api.seen == []


@pytest.mark.parametrize(
    "response", [None, {"id": 3, "steps": 4}, [None, [], {"id": 9, "stream": [], "url": {}, "lastError": [1]}]]
)
def test_answers_of_another_shape_break_nothing(api: ApiServer, variables: dict[str, str], response: Any) -> None:
    for path in (":pushes", ":startPush", ":checkPush", f"{APP}/streams", f"{APP}/streams/s"):
        api.on(path, response)
    destination = ["p", "srt://h:1", "--stream", "s", "--protocol", "srt"]
    for command in (
        ["push", "list"],
        ["push", "show", "p"],
        ["push", "start", *destination],
        ["push", "check", *destination],
        ["stream", "list"],
        ["stream", "show", "s"],
    ):
        answer = pushcast(variables, *command)
        assert answer.returncode in (0, 1)
        assert "Traceback" not in answer.stderr


def test_the_token_of_this_machine_is_found(api: ApiServer, variables: dict[str, str]) -> None:
    api.on(":pushes", [])
    del variables["PUSHCAST_TOKEN"]
    kept = Path(variables["XDG_STATE_HOME"]) / "pushcast" / "access_token"
    answer = pushcast(variables, "push", "list")
    assert (answer.returncode, api.seen[-1].token) == (0, None)
    assert not kept.exists()

    kept.parent.mkdir(parents=True)
    kept.write_text(f"{TOKEN}\n")
    kept.chmod(0o600)
    answer = pushcast(variables, "push", "list")
    assert (answer.returncode, answer.stderr, api.seen[-1].token) == (0, "", TOKEN)

    answer = pushcast(variables, "push", "list", "--token", "another")
    assert (answer.returncode, api.seen[-1].token) == (0, "another")

    api.on(":pushes", None, 401, "[HTTP] Invalid credential (401)")
    answer = pushcast(variables, "push", "list")
    assert answer.returncode == 1
    assert answer.stderr == f"pushcast: Invalid credential (the token is that of {kept})\n"
    kept.unlink()
    answer = pushcast(variables, "push", "list")
    assert answer.stderr.endswith(f"(--token or PUSHCAST_TOKEN gives a token; there is none in {kept})\n")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that signs itself."""
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path)]
    made = subprocess.run(command, capture_output=True, check=True, timeout=DEADLINE_S)
    path.write_bytes(path.read_bytes() + made.stdout)
    return path


def test_https_is_trusted_by_its_authority_alone(certificate: Path, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with api_server(context) as api:
        api.on(":pushes", [PUSH])
        variables = environment(tmp_path, PUSHCAST_TOKEN=TOKEN)
        answer = pushcast(variables, "push", "list", "--url", api.url)
        assert (answer.returncode, api.seen) == (3, [])
        assert answer.stderr.startswith(f"pushcast: {api.url} cannot be reached: its certificate is not trusted, ")
        assert "--ca names the file" in answer.stderr
        answer = pushcast(variables, "push", "list", "--url", api.url, "--ca", str(certificate))
        assert (answer.returncode, answer.stderr, api.seen[0].token) == (0, "", TOKEN)
        assert "studio" in answer.stdout


def test_tls_to_a_server_without_it(variables: dict[str, str]) -> None:
    with stranger(b"HTTP/1.1 400 Bad Request\r\n\r\n", after=b"") as port:
        answer = pushcast(variables, "push", "list", "--url", f"https://127.0.0.1:{port}")
    assert answer.returncode == 3
    assert "the URL of a server without TLS begins with http://" in answer.stderr
