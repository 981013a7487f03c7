"""The command line as a user meets it: real processes, their exit codes and their one sentence."""

from __future__ import annotations

import base64
import http.client
import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcast import __version__

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 30


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The caller's, without its PUSHCAST_ variables, with a state folder of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PUSHCAST_")}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "XDG_STATE_HOME": str(tmp_path / "state")}


def run(environment: dict[str, str], *arguments: str, timeout_s: float = TIMEOUT_S) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pushcast", *arguments]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "served.toml"
    path.write_text(
        f'[api]\nport = {free_port()}\naccess_token = "a-token-of-the-test"\n'
        f'[rtmp]\nhost = "127.0.0.1"\nport = {free_port()}\n[srt]\nport = 0\n[state]\npath = "{tmp_path}/kept"\n'
    )
    return path


class Server:
    """``pushcast serve`` in a process; reads its stderr without waiting longer than a deadline."""

    def __init__(self, environment: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "pushcast", "serve", *arguments]
        self.process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        self.said = ""

    def wait_for(self, words: str) -> None:
        assert self.process.stderr is not None
        deadline_s = time.monotonic() + TIMEOUT_S
        while words not in self.said:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"the server has not said {words!r}, but: {self.said}"
            if select.select([self.process.stderr], [], [], left_s)[0]:
                chunk = os.read(self.process.stderr.fileno(), 65536)
                assert chunk, f"the server ended: {self.said}"
                self.said += chunk.decode()

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        _, rest = self.process.communicate(timeout=TIMEOUT_S)
        self.said += rest.decode()
        return self.process.returncode


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started: list[Server] = []
    yield started
    for server in started:
        server.process.kill()
        server.process.communicate(timeout=TIMEOUT_S)


def call(port: int, method: str, path: str, token: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        credentials = base64.b64encode(token.encode()).decode()
        connection.request(method, path, headers={"Authorization": f"Basic {credentials}"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def api_port(config: Path) -> int:
    port: int = tomllib.loads(config.read_text())["api"]["port"]
    return port


def test_version_is_that_of_the_package(environment: dict[str, str]) -> None:
    answer = run(environment, "--version")
    assert (answer.returncode, answer.stdout) == (0, f"pushcast, version {__version__}\n")
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == __version__


def test_help_names_the_commands(environment: dict[str, str]) -> None:
    answer = run(environment, "--help")
    assert answer.returncode == 0
    for command in ("serve", "sink", "demo"):
        assert re.search(rf"^  {command}  ", answer.stdout, re.MULTILINE)
        assert run(environment, command, "--help").returncode == 0


@pytest.mark.parametrize(
    ("arguments", "text", "words"),
    [
        (["--config", "FILE"], "[api]\nport = 'eighty'", 'pushcast: FILE: api.port: found "eighty", allowed: a whole '),
        (["--config", "FILE.absent"], "", "pushcast: FILE.absent: cannot be read: No such file or directory"),
        (["--config", "FILE"], "[state]\npath = '/proc/nowhere'", 'pushcast: state.path: found "/proc/nowhere", '),
        (["--confg", "FILE"], "", "No such option"),
    ],
)
def test_a_wrong_configuration_is_exit_code_2(
    environment: dict[str, str], tmp_path: Path, arguments: list[str], text: str, words: str
) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    answer = run(environment, "serve", *[argument.replace("FILE", str(file)) for argument in arguments])
    assert answer.returncode == 2
    assert words.replace("FILE", str(file)) in answer.stderr
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(environment: dict[str, str], config: Path, servers: list[Server], number: int) -> None:
    server = Server(environment, "--config", str(config))
    servers.append(server)
    server.wait_for(str(api_port(config)))
    assert call(api_port(config), "GET", "/v1/vhosts", "a-token-of-the-test")[0] == 200
    assert call(api_port(config), "GET", "/v1/vhosts", "another")[0] == 401
    assert server.stop(number) == 0, server.said
    assert "Traceback" not in server.said
    assert "a-token-of-the-test" not in server.said


def test_the_made_token_opens_the_api(environment: dict[str, str], config: Path, servers: list[Server]) -> None:
    config.write_text(config.read_text().replace('access_token = "a-token-of-the-test"\n', ""))
    server = Server(environment, "--config", str(config))
    servers.append(server)
    kept = config.parent / "kept" / "access_token"
    server.wait_for(str(kept))
    server.wait_for(str(api_port(config)))
    token = kept.read_text().strip()
    assert call(api_port(config), "GET", "/v1/vhosts", token)[0] == 200
    assert server.stop() == 0
    assert token not in server.said


@pytest.mark.parametrize("section", ["api", "rtmp"])
def test_a_port_in_use_is_exit_code_1(environment: dict[str, str], config: Path, section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = run({**environment, f"PUSHCAST_{section.upper()}__PORT": str(port)}, "serve", "--config", str(config))
    assert answer.returncode == 1, answer.stderr
    last = answer.stderr.splitlines()[-1]
    assert f"127.0.0.1:{port}" in last
    assert f"{section}.port" in last
    assert "Traceback" not in answer.stderr


def test_the_demo_proves_itself(environment: dict[str, str]) -> None:
    answer = run(environment, "demo", "--seconds", "2", timeout_s=90)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    lines = answer.stdout.splitlines()
    for protocol in ("rtmp", "srt", "udp"):
        assert f"{protocol} pushing" in lines[1]
        assert any(re.match(rf"{protocol}: the sink verified [1-9]\d+ bytes, 0 errors", line) for line in lines)
    assert _children_of_the_demo(environment) == []


def _children_of_the_demo(environment: dict[str, str]) -> list[str]:
    """Command lines of processes that still run with this test's state folder."""
    marker = f"XDG_STATE_HOME={environment['XDG_STATE_HOME']}".encode()
    left = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (entry / "environ").read_bytes().split(b"\0"):
                left.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return left
