"""Command line of `skyflo audit`."""

from pathlib import Path
from typing import Annotated

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["app"]

Stream = Annotated[str | None, typer.Option(help="Only entries of this stream: run:<id>, user:<id>, team, ...")]
Actor = Annotated[str | None, typer.Option(help="Only entries of this actor: user:<id>, local, token:<name>, engine.")]
Action = Annotated[str | None, typer.Option(help="Only entries with this action, such as tool.approved.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("list", epilog=EXIT_CODES)
def list_entries(
    stream: Stream = None,
    actor: Actor = None,
    action: Action = None,
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List who did what, newest first. For admins."""
    from src.cli.audit import Filter
    from src.cli.audit import list_entries as run

    raise typer.Exit(run(Filter(stream, actor, action), limit, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def export(
    stream: Stream = None,
    actor: Actor = None,
    action: Action = None,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Write the audit log to standard output as JSON lines. For admins."""
    from src.cli.audit import Filter
    from src.cli.audit import export as run

    raise typer.Exit(run(Filter(stream, actor, action), server, insecure))


@app.command(epilog=EXIT_CODES)
def verify(
    seal: Annotated[
        str | None,
        typer.Option(metavar="N:HASH", help="A seal that you stored elsewhere, from the engine's log or this command."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Check this export without an engine.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Check that the audit log was not changed. For admins.

    Exit code 0 if it is intact, 1 if it was changed; the first fault is named.
    """
    from src.cli.audit import verify as run
    from src.cli.audit_file import verify_file

    raise typer.Exit(verify_file(file, seal, as_json) if file else run(seal, as_json, server, insecure))
