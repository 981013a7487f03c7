"""wrk, the HTTP client of the API's benches: written in C, so that one core asks faster than any event loop answers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path


def ask(
    url: str,
    seconds: float,
    connections: int,
    arguments: list[str],
    *,
    threads: int = 1,
    words: tuple[str, ...] = (),
) -> dict[str, float]:
    """Requests per second, and the latencies that wrk saw, in ms; ``words`` come to a script.

    RuntimeError when an answer was no 200.
    """
    sizes = [f"-t{threads}", f"-c{connections}", f"-d{seconds:g}s", "--latency"]
    command = ["wrk", *sizes, *arguments, url, *(("--", *words) if words else ())]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30).stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(said)
    per_s = re.search(r"Requests/sec:\s*([\d.]+)", said)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+(\S+)$", said, re.MULTILINE))
    if per_s is None:
        raise RuntimeError(said)
    return {"per_s": float(per_s[1]), "p50_ms": _ms(latencies["50"]), "p99_ms": _ms(latencies["99"])}


def post_script(path: Path, body: str, authorization: str) -> list[str]:
    """Arguments for a POST with this body, which go through a script at ``path``."""
    path.write_text(
        f"wrk.method = 'POST'\nwrk.body = '{body}'\n"
        f"wrk.headers['Authorization'] = '{authorization}'\nwrk.headers['Content-Type'] = 'application/json'\n"
    )
    return ["-s", str(path)]


def _ms(text: str) -> float:
    """wrk's 912.00us, 3.45ms or 1.02s."""
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return round(float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit], 3)
