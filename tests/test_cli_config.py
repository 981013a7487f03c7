"""``pushcast config`` and ``pushcast token``: what counts is said, and secrets only when asked for."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from cli_server import environment, pushcast

from pushcast.cli.toml import MASK, Masked, write_toml

SECRET = "0123456789-secret-of-the-test"
WHOLE = f"""
[api]
port = 18081
access_token = "{SECRET}"
[[vhosts]]
name = "east"
[[vhosts.apps]]
name = "live"
[[vhosts.apps]]
name = "übung"
[[vhosts]]
name = "west"
[[sources]]
vhost = "east"
app = "live"
name = "clip"
url = "file:///media/a%20clip.ts?loop=1"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "given.toml"
    path.write_text(WHOLE)
    return path


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, str]:
    return environment(tmp_path)


@pytest.mark.parametrize("way", [[], ["--config"]])
def test_a_right_configuration_is_one_line(variables: dict[str, str], file: Path, way: list[str]) -> None:
    answer = pushcast(variables, "config", "check", *way, str(file))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout == f"{file}: right, 2 vhosts, 3 apps, 1 source\n"


def test_without_a_file_the_environment_is_checked(variables: dict[str, str]) -> None:
    answer = pushcast(variables, "config", "check")
    assert (answer.returncode, answer.stdout) == (0, "configuration: right, 1 vhost, 1 app, 0 sources\n")
    answer = pushcast(variables | {"PUSHCAST_API__PORT": "eighty"}, "config", "check")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith('pushcast: PUSHCAST_API__PORT: api.port: found "eighty", allowed: ')


# (text of the file, the sentence about it)
WRONG = [
    ("[api]\nport = 'eighty'", 'FILE: api.port: found "eighty", allowed: a whole number from 0 to 65535'),
    ("[api", "FILE: found no valid TOML"),
    (f'[api]\naccess_token = "{SECRET}\\u0007"', "FILE: api.access_token: found a string (not shown), allowed: "),
]


@pytest.mark.parametrize("command", ["check", "show"])
@pytest.mark.parametrize(("text", "sentence"), WRONG)
def test_a_wrong_configuration_is_exit_code_2(
    variables: dict[str, str], file: Path, command: str, text: str, sentence: str
) -> None:
    file.write_text(text)
    answer = pushcast(variables, "config", command, str(file))
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"pushcast: {sentence.replace('FILE', str(file))}")
    assert answer.stderr.count("\n") == 1
    assert SECRET not in answer.stderr


@pytest.mark.parametrize("more", [[], ["--redacted"], ["--json"], ["--json", "--redacted"]])
def test_show_masks_secrets(variables: dict[str, str], file: Path, more: list[str]) -> None:
    answer = pushcast(variables | {"PUSHCAST_API__PORT": "18099"}, "config", "show", str(file), *more)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert SECRET not in answer.stdout
    shown = json.loads(answer.stdout) if "--json" in more else tomllib.loads(answer.stdout)
    assert shown["api"]["port"] == 18099  # the environment beats the file
    assert shown["rtmp"]["port"] == 1935  # a default
    assert [app["name"] for app in shown["vhosts"][0]["apps"]] == ["live", "übung"]
    assert shown["sources"][0]["url"] == "file:///media/a%20clip.ts?loop=1"
    if "--json" in more:
        assert shown["api"]["access_token"] == "***"
    else:
        assert '# access_token = "***"' in answer.stdout.splitlines()  # as a value it would be a token


def test_what_show_reveals_is_the_same_configuration(variables: dict[str, str], file: Path, tmp_path: Path) -> None:
    answer = pushcast(variables, "config", "show", str(file), "--reveal")
    assert tomllib.loads(answer.stdout)["api"]["access_token"] == SECRET
    again = tmp_path / "again.toml"
    again.write_text(answer.stdout)
    assert pushcast(variables, "config", "show", "--config", str(again), "--reveal").stdout == answer.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["config", "check", "FILE", "--config", "FILE"], "found FILE and --config, allowed: one of them"),
        (["config", "show", "--jsn"], "No such option"),
        (["token", "--config"], "requires an argument"),
        (["token", "old"], "No such command 'old'"),
    ],
)
def test_a_wrong_command_line_is_exit_code_2(
    variables: dict[str, str], file: Path, arguments: list[str], said: str
) -> None:
    answer = pushcast(variables, *[argument.replace("FILE", str(file)) for argument in arguments])
    assert (answer.returncode, answer.stdout) == (2, "")
    assert said in answer.stderr


def test_the_token_that_the_server_keeps(variables: dict[str, str]) -> None:
    path = Path(variables["XDG_STATE_HOME"]) / "pushcast" / "access_token"
    answer = pushcast(variables, "token")
    assert (answer.returncode, answer.stdout) == (0, f"{path}\n")
    assert answer.stderr == f"pushcast: there is no {path} yet, the first start of pushcast serve makes it\n"
    answer = pushcast(variables, "token", "--show")
    assert (answer.returncode, answer.stdout) == (1, "")
    assert not path.exists()

    path.parent.mkdir(parents=True)
    path.write_text(f"{SECRET}\n")
    path.chmod(0o600)
    for more, out in (([], str(path)), (["--show"], SECRET)):
        answer = pushcast(variables, "token", *more)
        assert (answer.returncode, answer.stdout, answer.stderr) == (0, f"{out}\n", "")

    path.write_bytes(b"\0\n")
    answer = pushcast(variables, "token", "--show")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert "bytes that are no token" in answer.stderr


def test_the_state_folder_of_a_configuration(variables: dict[str, str], file: Path, tmp_path: Path) -> None:
    file.write_text(f'[state]\npath = "{tmp_path}/elsewhere"\n')
    answer = pushcast(variables, "token", "--config", str(file))
    assert (answer.returncode, answer.stdout) == (0, f"{tmp_path}/elsewhere/access_token\n")


def test_the_token_of_a_configuration(variables: dict[str, str], file: Path) -> None:
    answer = pushcast(variables, "token", "--config", str(file))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert "--show prints it" in answer.stderr
    answer = pushcast(variables, "token", "--config", str(file), "--show")
    assert (answer.returncode, answer.stdout) == (0, f"{SECRET}\n")


def test_new_tokens_are_random_and_long_enough(variables: dict[str, str]) -> None:
    found = {pushcast(variables, "token", "new").stdout for _ in range(2)}
    assert len(found) == 2
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{43}\n", token) for token in found)
    assert not Path(variables["XDG_STATE_HOME"]).exists()


# Tables that TOML must give back as they are.
TABLES: list[dict[str, Any]] = [
    {},
    {"a": 1, "b": -2.5, "c": True, "d": "text", "e": []},
    {"t": {"x": 1, "inner": {"y": 2}}, "after": "a key behind a table"},
    {"list": [{"x": 1, "deep": [{"y": "1"}, {"y": "2"}]}, {}], "plain": [1, 2], "mixed": [1, {"z": "3"}, [True]]},
    {"quotes \"'": 'back\\slash "quote" \n\r\t\b\f\x00\x1f\x7f\x80 ü … 🙂', "": "no name", "a.b": {"c d": 1}},
]


@pytest.mark.parametrize("given", TABLES)
def test_toml_is_read_as_it_was_written(given: dict[str, Any]) -> None:
    assert tomllib.loads(write_toml(given)) == given


def test_toml_leaves_out_what_it_cannot_or_must_not_say() -> None:
    given = {"nothing": None, "token": MASK, "url": Masked("rtmp://h/***"), "t": {"nothing": None, "left": 1}}
    text = write_toml(given)
    assert tomllib.loads(text) == {"t": {"left": 1}}
    assert '# token = "***"' in text
    assert '# url = "rtmp://h/***"' in text
