"""How a command fails, as the shell sees it.

Exit codes: 0 done, 1 the server refused or something failed while running, 2 a wrong command line or configuration, 3
no server was reached.  click itself ends a wrong command line with 2.
"""

from __future__ import annotations

from pushcast.errors import ConfigError, EngineError


class Refused(EngineError):
    """The server answered, and not with what was asked for; str() is what it said."""

    code = "refused"


class Unreachable(EngineError):
    """No server answered; str() names its URL and what can be done."""

    code = "unreachable"


def exit_code(error: Exception) -> int:
    """The code for an error that ended a command."""
    if isinstance(error, ConfigError):
        return 2
    return 3 if isinstance(error, Unreachable) else 1
