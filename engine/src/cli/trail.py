"""What can be typed after `skyflo audit`."""

from pathlib import Path
from typing import Annotated

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["app"]

Stream = Annotated[str | None, typer.Option(help="Only this stream: run:<id>, user:<id>, team, ...")]
Actor = Annotated[str | None, typer.Option(help="Only what this one did: user:<id>, local, token:<name>, engine.")]
Action = Annotated[str | None, typer.Option(help="Only this action, as tool.approved.")]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.command("list", epilog=EXIT_CODES)
def listed(
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
    from src.cli.audit import listed as run

    raise typer.Exit(run(Filter(stream, actor, action), limit, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def export(
    stream: Stream = None,
    actor: Actor = None,
    action: Action = None,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Write the trail to standard output, a line of JSON each. For admins."""
    from src.cli.audit import Filter
    from src.cli.audit import export as run

    raise typer.Exit(run(Filter(stream, actor, action), server, insecure))


@app.command(epilog=EXIT_CODES)
def verify(
    seal: Annotated[
        str | None, typer.Option(metavar="N:HASH", help="A seal that you kept elsewhere, from the log or from here.")
    ] = None,
    file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="Check this export instead, without an engine.")
    ] = None,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Check that nobody changed the trail. For admins.

    Exit code 0 where it is intact, 1 where it was changed: then the first place is named.
    """
    from src.cli.audit import verify as run
    from src.cli.auditfile import verify_file

    raise typer.Exit(verify_file(file, seal, as_json) if file else run(seal, as_json, server, insecure))
