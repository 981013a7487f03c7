"""The command line: ``pushcast serve``, ``pushcast sink``, ``pushcast demo``.

A command's module is imported when the command is asked for, so that a sink starts without the server and the server
without the demo.  An error is one sentence on stderr; the exit code is 2 for a wrong configuration or command line, 1
for what fails while running.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from pushcast import __version__
from pushcast.errors import ConfigError, EngineError

# name: (module, attribute, one line for --help, so that help imports none of them)
COMMANDS = {
    "serve": ("pushcast.cli.serve", "serve", "Take streams in and push them out."),
    "sink": ("pushcast.sink.command", "sink", "Receive pushes and check every byte of them."),
    "demo": ("pushcast.demo.command", "demo", "Push one clip over every protocol to verifying sinks."),
}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, words) for name, (_, _, words) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pushcast")
def pushcast() -> None:
    """Live push engine: hundreds of RTMP, SRT and MPEG-TS destinations for a stream, driven by a REST API."""


def main() -> None:
    """The console script."""
    try:
        pushcast()
    except ConfigError as error:
        _fail(error, 2)
    except (EngineError, OSError) as error:
        _fail(error, 1)


def _fail(error: Exception, code: int) -> None:
    click.echo(f"pushcast: {error}", err=True)
    sys.exit(code)
