"""Every input that the fuzzer has kept, once more: none may be a fault, and none may take long.

Under `make sanitize` the same inputs meet the address sanitizer.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from fuzz import corpus
from fuzz.receiver import make_cheap
from fuzz.targets import TARGETS

INPUT_S = 2.0  # on a busy machine, under a sanitizer; a hang takes for ever


@pytest.fixture(autouse=True)
def small_feeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A feed's index costs more than an input, as long as it is for ten minutes of media."""
    make_cheap(monkeypatch.setattr)


@pytest.mark.parametrize("target", TARGETS)
def test_corpus(target: str) -> None:
    inputs = corpus.load(target)
    assert len(inputs) > 20
    for name, data in inputs.items():
        assert len(data) <= 1 << 16
        began = time.monotonic()
        try:
            TARGETS[target].run(data)
        except Exception as error:
            error.add_note(f"input {name} of the corpus of {target}")
            raise
        took = time.monotonic() - began
        assert took < INPUT_S, f"{name}: {took:.1f} s"


def test_an_archive_is_its_inputs_and_keeps_those_of_bugs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "FOLDER", tmp_path / "archives")
    assert corpus.load("ts") == {}
    corpus.save("ts", {"one": b"1", "bug-two": b"22"})
    first = corpus.archive("ts").read_bytes()
    corpus.unpack("ts", tmp_path / "inputs")
    (tmp_path / "inputs" / "one").unlink()
    (tmp_path / "inputs" / "bug-two").unlink()
    (tmp_path / "inputs" / "three").write_bytes(b"333")
    corpus.pack("ts", tmp_path / "inputs")
    assert sorted(corpus.load("ts").values()) == [b"22", b"333"]
    assert corpus.load("ts")["bug-two"] == b"22"
    corpus.save("ts", {"bug-two": b"22", "one": b"1"})
    assert corpus.archive("ts").read_bytes() == first, "whatever the order, and whenever"


def test_a_target_lets_out_what_is_a_bug(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise KeyError(len(data))

    monkeypatch.setattr("fuzz.rtmp.amf.decode", broken)
    with pytest.raises(KeyError, match="3"):
        TARGETS["amf0"].run(b"\0\1\2")
