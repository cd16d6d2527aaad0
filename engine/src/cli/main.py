"""Entry point of `skyflo`. Imports only the command line; each command imports its own code when it runs."""

import os
import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from src.cli.commands import admin, approvals, audit, top_level
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
    """Run the command and return its exit code. Expected failures are printed in a line or two."""
    _make_streams_lenient()
    try:
        app()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except CliError as error:
        return _fail(str(error), error.code)
    except UnicodeError:
        return _fail("The input is not valid UTF-8.", USAGE)
    except KeyboardInterrupt:
        return STOPPED
    except BrokenPipeError:
        _close_output()
        return 1
    return 0


def _fail(message: str, code: int) -> int:
    from src.cli.console import print_error

    print_error(message)
    return code


def _make_streams_lenient() -> None:
    """Replace characters that a stream can't encode or decode, instead of failing.

    A standard stream that was closed before the start is replaced by the null device.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - closed at exit
        elif isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


def _close_output() -> None:
    """Redirect standard output after its reader has gone; otherwise Python prints an error at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _print_version(requested: bool) -> None:
    if requested:
        from importlib.metadata import version

        typer.echo(f"skyflo {version('skyflo-engine')}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """An agent for Kubernetes that asks before it changes anything."""


top_level.add_commands(app)
app.add_typer(approvals.app, name="approvals", help="List pending approvals and decide on them.")
app.add_typer(admin.app, name="admin", help="Change accounts on the engine's host, without signing in.")
app.add_typer(audit.app, name="audit", help="List, export and verify the audit log.")

if __name__ == "__main__":
    sys.exit(main())
