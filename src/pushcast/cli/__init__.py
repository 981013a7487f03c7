"""The command line: the server, its clients, and what checks both.

A command's module is imported when the command is asked for, so that a sink starts without the server and the server
without the demo.  An error is one sentence on stderr, and an exit code says of which kind (failure.py).
"""

from __future__ import annotations

import sys
from importlib import import_module

import click
from click.shell_completion import CompletionItem

from pushcast import __version__
from pushcast.cli.failure import exit_code
from pushcast.errors import EngineError
from pushcast.log import printable

# name: (module, attribute, one line for --help, so that help imports none of them)
COMMANDS = {
    "serve": ("pushcast.cli.serve", "serve", "Take streams in and push them out."),
    "push": ("pushcast.cli.push", "push", "Start, stop and watch pushes."),
    "stream": ("pushcast.cli.stream", "stream", "See which streams are live."),
    "config": ("pushcast.cli.config", "config", "Check and show a configuration."),
    "token": ("pushcast.cli.token", "token", "Print the path of the API's access token, or a fresh one."),
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

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands by their names alone: click would import each of them for its help."""
        found = [CompletionItem(name, help=words) for name, (_, _, words) in COMMANDS.items()]
        options = click.Command.shell_complete(self, ctx, incomplete)
        return [item for item in found if item.value.startswith(incomplete)] + options


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="pushcast")
def pushcast() -> None:
    """Live push engine: hundreds of RTMP, SRT and MPEG-TS destinations for a stream, driven by a REST API."""


def main() -> None:
    """The console script."""
    try:
        pushcast()
    except (EngineError, OSError) as error:
        click.echo(f"pushcast: {printable(str(error))}", err=True)
        sys.exit(exit_code(error))
