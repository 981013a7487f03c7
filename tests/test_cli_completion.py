"""The shell's completion, asked as bash asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_server import APP, DEADLINE_S, ApiServer, changed


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """The console script by its name, from which the shell's completion has the names of its variables."""
    path = tmp_path / "pushcast"
    path.write_text(f"#!{sys.executable}\nfrom pushcast.__main__ import main\nmain()\n")
    path.chmod(0o755)
    return path


# (words before the one to complete, its beginning, what it may be)
COMPLETIONS = [
    ("", "s", ["serve", "sink", "stream"]),
    ("push", "re", ["restart", "resume"]),
    ("push stop", "st", ["studio", "stage"]),
    ("push list studio", "st", ["stage"]),
    ("push start p rtmp://h/a --stream", "g", ["gala"]),
    ("stream show", "", ["gala", "other"]),
    ("push stop --app elsewhere", "st", []),
    ("push stop --url http://127.0.0.1:1", "st", []),
]


@pytest.mark.parametrize(("before", "begun", "words"), COMPLETIONS)
def test_the_shell_completes(
    api: ApiServer, variables: dict[str, str], script: Path, before: str, begun: str, words: list[str]
) -> None:
    api.on(":pushes", [changed(id=name) for name in ("studio", "stage", "other")])
    api.on(f"{APP}/streams", ["gala", "other"])
    typed = ["pushcast", *before.split(), begun]
    asked = {"_PUSHCAST_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    answer = subprocess.run([script], env=variables | asked, capture_output=True, text=True, timeout=DEADLINE_S)
    assert (answer.returncode, answer.stderr) == (0, "")
    assert sorted(answer.stdout.split()) == sorted(f"plain,{word}" for word in words)


def test_completing_a_command_loads_no_server(variables: dict[str, str]) -> None:
    asked = {"_PUSHCAST_COMPLETE": "bash_complete", "COMP_WORDS": "pushcast ", "COMP_CWORD": "1"}
    program = (
        "import sys; sys.argv = ['pushcast']\nfrom pushcast.__main__ import main\n"
        "try:\n    main()\nfinally:\n    print(sorted(name for name in sys.modules if name == 'pushcast.server'))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], env=variables | asked, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert answer.stdout.endswith("[]\n")
    assert "plain,serve" in answer.stdout
