"""The command `skyflo`. Only what parses the command line is imported here; each command brings its own."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from src.cli import commands, inbox, trail
from src.cli.errors import STOPPED, USAGE, CliError
from src.cli.options import EXIT_CODES

__all__ = ["app", "main"]

app = typer.Typer(
    name="skyflo",
    help="An agent for Kubernetes that asks before it changes anything.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> int:
    """Runs this process's command. Returns its exit code; what can be expected to fail is told in a line or two."""
    _never_fail_to_write()
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except CliError as error:
        return _told(str(error), error.code)
    except UnicodeError:
        return _told("Something that was typed or read is not text in UTF-8.", USAGE)
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        _close_output()
        return 1
    return 0


def _told(message: str, code: int) -> int:
    from src.cli.console import say_error

    say_error(message)
    return code


def _never_fail_to_write() -> None:
    """What this terminal has no character for is shown as a question mark; what comes in is taken likewise.

    A stream that was closed before the start is one that nothing comes from and nothing is read of.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - until the end
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _close_output() -> None:
    """Whoever read the output has left; without this Python complains at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"skyflo {version('skyflo-engine')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="The version, and nothing else.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """An agent for Kubernetes that asks before it changes anything."""


commands.add_to(app)
app.add_typer(inbox.app, name="approvals", help="What waits for a decision, and deciding on it.")
app.add_typer(trail.app, name="audit", help="Who did what, and whether the record of it is whole.")

if __name__ == "__main__":
    sys.exit(main())
