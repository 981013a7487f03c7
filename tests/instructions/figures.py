"""The figures that are kept, how far a new one may lie from them, and how they are renewed (`make instructions`)."""

from __future__ import annotations

import platform
import tomllib
from pathlib import Path

from instructions.measure import measure

KEPT = Path(__file__).with_name("expected.toml")
BAND = 0.05


def expected() -> dict[str, float]:
    """Instructions for each unit on this machine's architecture, by path; empty when none are kept for it."""
    figures: dict[str, float] = tomllib.loads(KEPT.read_text()).get(platform.machine(), {})
    return figures


def verdict(measured: float, expected: float) -> str:
    """What is wrong with a figure; empty inside the band.  It has two sides: what got cheaper is to stay so."""
    change = measured / expected - 1
    if abs(change) <= BAND:
        return ""
    return (
        f"{measured:.1f} instructions, kept figure {expected:.1f}: {change:+.1%}.  More: find out why.  Less, or more"
        " for a reason: `make instructions` renews the figures (gcc 12, Cython as locked, no DEBUG or SANITIZE build)"
    )


def renew() -> None:
    """Write this architecture's figures anew; says what changed."""
    tables = tomllib.loads(KEPT.read_text())
    before = tables.get(platform.machine(), {})
    tables[platform.machine()] = {path: round(counted.instructions, 1) for path, counted in measure().items()}
    for path, figure in tables[platform.machine()].items():
        print(f"{path:22}{before.get(path, 0):10.1f} -> {figure:10.1f}")
    text = KEPT.read_text().partition("\n[")[0]
    for machine, figures in tables.items():
        text += f"\n[{machine}]\n" + "".join(f"{path} = {figure}\n" for path, figure in figures.items())
    KEPT.write_text(text)


if __name__ == "__main__":
    renew()
