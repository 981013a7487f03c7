"""The section of publishing rules: what may be said, and one sentence for what may not."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_server import pushcast

from pushcast.config import load_config
from pushcast.errors import ConfigError
from pushcast.publish_token import read_token

SECRET = "swordfish-swordfish-swordfish-swordfish"
APP = '[[vhosts]]\nname = "v"\n[[vhosts.apps]]\nname = "a"\n[vhosts.apps.publish]\n'
HOOK = "[vhosts.apps.publish.webhook]\n"
WHERE = "vhosts[0].apps[0].publish"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pushcast.toml"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            'keys = ["swordfish"]',
            f"{WHERE}.keys: found a list (not all of it are such keys), allowed",
        ),
        ('keys = "swordfish-swordfish"', f"{WHERE}.keys: found "),
        (
            'token_secret = "swordfish"',
            f"{WHERE}.token_secret: found a string (not shown), allowed: 32 to 1024",
        ),
        ('allow = ["host.example"]', f"{WHERE}.allow: found a list ("),
        ('duplicate = "both"', f'{WHERE}.duplicate: found "both", allowed: "reject" or "replace"'),
        ("max_tracks = 0", f"{WHERE}.max_tracks: found 0, allowed: a whole number from 1 to 64"),
        (
            'srt_passphrases = {"cam*" = "swordfish"}',
            f"{WHERE}.srt_passphrases: found a table (not all",
        ),
        (
            '[vhosts.apps.publish.webhook]\nurl = "ftp://h/swordfish"\nsecret = "x"',
            f"{WHERE}.webhook.url: found a string",
        ),
        (
            '[vhosts.apps.publish.webhook]\nurl = "http://h/x"',
            f"{WHERE}.webhook.secret: found nothing, allowed: 1 to 1024",
        ),
    ],
)
def test_one_sentence(path: Path, text: str, sentence: str) -> None:
    path.write_text(APP + text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert "swordfish" not in str(caught.value)


def test_secrets_may_lie_elsewhere(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "swordfish-of-sixteen")
    (tmp_path / "secret").write_text(SECRET)
    path.write_text(APP + f'keys = ["env:A_KEY"]\ntoken_secret = "file:{tmp_path}/secret"\n')
    config = load_config(path)
    publish = config.vhosts[0].apps[0].publish
    assert [key.get_secret_value() for key in publish.keys] == ["swordfish-of-sixteen"]
    assert publish.token_secret is not None
    assert publish.token_secret.get_secret_value() == SECRET
    assert "swordfish" not in repr(config)


def test_what_is_shown(path: Path, variables: dict[str, str]) -> None:
    path.write_text(
        APP + f'keys = ["{SECRET}"]\ntoken_secret = "{SECRET}"\nsrt_passphrases = {{"cam*" = "{SECRET}"}}\n'
    )
    answer = pushcast(variables, "config", "show", str(path))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert "swordfish" not in answer.stdout
    answer = pushcast(variables, "config", "show", str(path), "--reveal")
    path.write_text(answer.stdout)
    assert load_config(path).vhosts[0].apps[0].publish.keys[0].get_secret_value() == SECRET


def test_a_token_for_a_publisher(path: Path, variables: dict[str, str]) -> None:
    path.write_text(APP + f'token_secret = "{SECRET}"\n')
    ask = ("token", "publish", "--config", str(path), "--vhost", "v")
    answer = pushcast(variables, *ask, "--app", "a", "--stream", "cam*", "--ip", "192.0.2.7", "--hours", "0.5")
    assert (answer.returncode, answer.stderr) == (0, "")
    scope = read_token(answer.stdout.strip(), SECRET)
    assert (scope.vhost, scope.app, scope.stream, scope.ip) == ("v", "a", "cam*", "192.0.2.7/32")
    for more, said in ((["--app", "b"], "there is no app v/b"), (["--app", "a", "--ip", "x"], "--ip: ")):
        answer = pushcast(variables, *ask, *more)
        assert (answer.returncode, answer.stdout) == (1, "")
        assert said in answer.stderr
