"""Command line of `skyflo approvals`."""

from typing import Annotated, Literal

import typer

from src.cli.options import EXIT_CODES, AsJson, Insecure, Limit, Server

__all__ = ["app"]

Status = Literal["pending", "approved", "denied", "expired", "superseded", "stopped", "consumed", "stale"]
CallId = Annotated[str, typer.Argument(metavar="ID", help="The id of the call.", show_default=False)]
Which = Annotated[Status, typer.Option(help="Only approvals with this status.")]
Reason = Annotated[str, typer.Option(help="The reason, which other users can see.", show_default=False)]

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
    """List pending approvals and decide on them."""
    if context.invoked_subcommand is None:
        list_approvals(status, limit, as_json, server, insecure)


@app.command("list")
def list_approvals(
    status: Which = "pending",
    limit: Limit = 20,
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """List approvals, newest first (also without `list`)."""
    from src.cli.approvals import list_approvals as run

    raise typer.Exit(run(status, limit, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def show(call_id: CallId, as_json: AsJson = False, server: Server = None, insecure: Insecure = False) -> None:
    """Show the change, its diff, its digest and its history."""
    from src.cli.approvals import show as run

    raise typer.Exit(run(call_id, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def approve(
    call_id: CallId,
    digest: Annotated[
        str | None,
        typer.Option(help="Digest of the change that you reviewed. Approves exactly that change, without asking."),
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Show the change and ask for approval, then follow its run."""
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
    """Deny the change, then follow its run."""
    from src.cli.approvals import deny as run

    raise typer.Exit(run(call_id, reason, as_json, server, insecure))


@app.command(epilog=EXIT_CODES)
def verify(
    call_id: CallId,
    outcome: Annotated[
        Literal["applied", "not_applied"] | None,
        typer.Option(help="The outcome that you found, if it can't be proven."),
    ] = None,
    reason: Reason = "",
    as_json: AsJson = False,
    server: Server = None,
    insecure: Insecure = False,
) -> None:
    """Verify a change whose outcome is unknown. Never runs the change."""
    from src.cli.approvals import verify as run

    raise typer.Exit(run(call_id, outcome, reason, as_json, server, insecure))
