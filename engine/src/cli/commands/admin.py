"""Command line of `skyflo admin`."""

from typing import Annotated, Literal

import typer

from src.cli.options import EXIT_CODES, AsJson

__all__ = ["app"]

Role = Literal["viewer", "member", "approver", "admin"]
Email = Annotated[str, typer.Argument(help="The account's e-mail address.", show_default=False)]

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
users = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)
app.add_typer(users, name="users", help="List, add and change accounts.")


@app.command("reset-link", epilog=EXIT_CODES)
def reset_link(email: Email) -> None:
    """Print a link that sets a new password, for an account whose owner can't sign in.

    It works once and for an hour. The audit log records who made it.
    """
    from src.cli.admin import reset_link as run

    raise typer.Exit(run(email))


@app.command("verify-email", epilog=EXIT_CODES)
def verify_email(email: Email) -> None:
    """Mark an account's e-mail as verified, where no mail server can prove it."""
    from src.cli.admin import verify_email as run

    raise typer.Exit(run(email))


@app.command("change-email", epilog=EXIT_CODES)
def change_email(
    email: Email, new: Annotated[str, typer.Argument(help="The new e-mail address.", show_default=False)]
) -> None:
    """Give an account a new e-mail and mark it as verified."""
    from src.cli.admin import change_email as run

    raise typer.Exit(run(email, new))


@app.command(epilog=EXIT_CODES)
def prune(
    days: Annotated[
        int | None, typer.Option(min=1, max=36_500, help="Days without activity. Default: RETENTION_DAYS.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be deleted.")] = False,
) -> None:
    """Delete the conversations without activity for some days, now.

    Those with an active run, an open approval or a change whose outcome is unknown are kept.
    """
    from src.cli.admin import prune as run

    raise typer.Exit(run(days, dry_run=dry_run))


@app.command("verify-audit", epilog=EXIT_CODES)
def verify_audit(
    seal: Annotated[
        str | None, typer.Option(metavar="N:HASH", help="A seal that you stored elsewhere, from the engine's log.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check in the database, without an engine, that the audit log was not changed.

    Exit code 0 if it is intact, 1 if it was changed; the first fault is named.
    """
    from src.cli.admin import verify_audit as run

    raise typer.Exit(run(seal, as_json))


@users.command("list", epilog=EXIT_CODES)
def list_users(as_json: AsJson = False) -> None:
    """List all accounts, newest first, removed ones included."""
    from src.cli.admin import list_users as run

    raise typer.Exit(run(as_json))


@users.command(epilog=EXIT_CODES)
def add(
    email: Email,
    role: Annotated[Role, typer.Option(help="The account's role.")] = "viewer",
    name: Annotated[str | None, typer.Option(help="The person's name.", show_default=False)] = None,
) -> None:
    """Add an account, and print a link that sets its password."""
    from src.cli.admin import add_user as run

    raise typer.Exit(run(email, name, role))


@users.command("role", epilog=EXIT_CODES)
def set_role(email: Email, role: Annotated[Role, typer.Argument(help="The new role.", show_default=False)]) -> None:
    """Give an account another role. The last admin keeps theirs."""
    from src.cli.admin import change_user as run

    raise typer.Exit(run(email, role=role))


@users.command(epilog=EXIT_CODES)
def disable(email: Email) -> None:
    """Disable an account: end its sessions and tokens, and stop its runs."""
    from src.cli.admin import change_user as run

    raise typer.Exit(run(email, status="inactive"))


@users.command(epilog=EXIT_CODES)
def enable(email: Email) -> None:
    """Enable an account that was disabled."""
    from src.cli.admin import change_user as run

    raise typer.Exit(run(email, status="active"))
