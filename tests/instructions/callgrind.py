"""Reads callgrind's output: instructions by object file, and who called whom how often.

The format is that of "Callgrind Format Specification" (valgrind manual): lines of cost below the function that they
belong to, `calls=` lines each followed by one line of inclusive cost, and names that are spelled out once and then
referred to by number.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

NAME = re.compile(r"\((\d+)\)(?: (.*))?$")
RECURSION = re.compile(r"'\d+$")


@dataclass
class Profile:
    """One dump.  ``name``: what the dump was asked for as; ``instructions``: of an object's own code, by its path."""

    name: str = ""
    instructions: Counter[str] = field(default_factory=Counter)
    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)  # (caller's object, caller, callee)


class Names:
    """Names by number, of one kind."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def read(self, text: str) -> str:
        match = NAME.match(text)
        if match is None:
            return text
        if match[2] is not None:
            self._known[match[1]] = match[2]
        return self._known[match[1]]


def read_profile(path: Path) -> Profile:
    profile, objects, functions = Profile(), Names(), Names()
    here = function = called = ""
    calls, inclusive = 0, False
    for line in path.read_text().splitlines():
        key, equals, value = line.partition("=")
        if line.startswith("desc: Trigger: Client Request: "):
            profile.name = line.rpartition(": ")[2]
        elif equals and key == "ob":
            here = objects.read(value)
        elif equals and key == "cob":
            objects.read(value)
        elif equals and key == "fn":
            function = functions.read(value)
        elif equals and key == "cfn":
            called = RECURSION.sub("", functions.read(value))
        elif equals and key == "calls":
            calls, inclusive = int(value.split()[0]), True
        elif line[:1] in "+-*0123456789" and line:
            if inclusive:
                profile.calls[here, RECURSION.sub("", function), called] += calls
            else:
                profile.instructions[here] += int(line.split()[1])
            inclusive = False
    return profile
