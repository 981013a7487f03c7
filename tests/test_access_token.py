"""The access token: made once, kept with mode 0600, never logged."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from pushcast.access_token import FILE_NAME, obtain_access_token
from pushcast.errors import ConfigError


def test_a_configured_token_touches_no_file(tmp_path: Path) -> None:
    assert obtain_access_token(SecretStr("given"), tmp_path / "state") == "given"
    assert not (tmp_path / "state").exists()


def test_the_first_start_makes_one_and_later_ones_keep_it(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    state = tmp_path / "deep" / "state"
    token = obtain_access_token(None, state)
    assert len(token) >= 40
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert stat.S_IMODE((state / FILE_NAME).stat().st_mode) == 0o600
    assert [path.name for path in state.iterdir()] == [FILE_NAME]
    assert obtain_access_token(None, state) == token
    assert lines.messages == [
        f"api: a new access token lies in {state / FILE_NAME}",
        f"api: the access token is the one in {state / FILE_NAME}",
    ]
    assert token not in lines.text


def test_two_states_have_two_tokens(tmp_path: Path) -> None:
    assert obtain_access_token(None, tmp_path / "a") != obtain_access_token(None, tmp_path / "b")


def test_servers_that_start_at_once_agree(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        tokens = list(pool.map(lambda _: obtain_access_token(None, tmp_path / "state"), range(64)))
    assert len(set(tokens)) == 1


def test_a_file_that_others_may_read_is_told(tmp_path: Path, lines: pytest.LogCaptureFixture) -> None:
    (tmp_path / FILE_NAME).write_text("made-by-hand\n")
    (tmp_path / FILE_NAME).chmod(0o644)
    assert obtain_access_token(None, tmp_path) == "made-by-hand"
    assert "has mode 0644, other users may read it" in lines.text
    assert "made-by-hand" not in lines.text


@pytest.mark.parametrize("content", [b"", b"\n", b"a\x00b", b"x" * 5000, b"two\nlines"])
def test_a_file_that_holds_no_token(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(ConfigError, match=r"access_token: found \d+ bytes that are no token"):
        obtain_access_token(None, tmp_path)


def test_a_state_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(ConfigError, match=r"^state\.path: found .*taken.*, allowed: a folder"):
        obtain_access_token(None, tmp_path / "taken")
