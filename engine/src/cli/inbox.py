"""What can be typed after `skyflo approvals`."""

from typing import Annotated, Literal

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["app"]

Status = Literal["pending", "approved", "denied", "expired", "superseded", "stopped", "consumed", "stale"]
CallId = Annotated[str, typer.Argument(metavar="ID", help="The call's id.", show_default=False)]
Which = Annotated[Status, typer.Option(help="Those in this state.")]
Reason = Annotated[str, typer.Option(help="Why; others see it.", show_default=False)]

app = typer.Typer(invoke_without_command=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@app.callback(epilog=EXIT_CODES)
def root(
    context: typer.Context,
    status: Which = "pending",
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """What waits for a decision, and deciding on it."""
    if context.invoked_subcommand is None:
        listed(status, limit, as_json, server, insecure)


@app.command("list")
def listed(
    status: Which = "pending",
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List what waits, newest first (also without `list`)."""
    from src.cli.approvals import listed as run

    raise typer.Exit(run(status, limit, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def show(call_id: CallId, as_json: AsJson = False, server: Server = None, insecure: Insecure = False) -> None:
    """Show what would happen, its diff, its digest, and what became of it."""
    from src.cli.approvals import show as run

    raise typer.Exit(run(call_id, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def approve(
    call_id: CallId,
    digest: Annotated[
        str | None, typer.Option(help="Of what you have seen: nothing is asked then, and nothing else is approved.")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Show the change and ask; then follow its run."""
    from src.cli.approvals import approve as run

    raise typer.Exit(run(call_id, digest, reason, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def deny(
    call_id: CallId,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Deny the change; then follow its run."""
    from src.cli.approvals import deny as run

    raise typer.Exit(run(call_id, reason, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def verify(
    call_id: CallId,
    outcome: Annotated[
        Literal["applied", "not_applied"] | None, typer.Option(help="Your own word, where nothing proves it.")
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Ask what became of a change whose outcome is unknown. Never runs it."""
    from src.cli.approvals import verify as run

    raise typer.Exit(run(call_id, outcome, reason, as_json, server, insecure))
