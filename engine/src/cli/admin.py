"""Run `skyflo admin`: change accounts on the engine's host, without a session."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Literal, TypeVar

from rich.text import Text

from src.cli.console import Terminal, write_json
from src.cli.errors import DONE, FAILED, CliError
from src.cli.jsontypes import number
from src.cli.text import one_line

__all__ = [
    "add_user",
    "change_email",
    "change_user",
    "list_users",
    "prune",
    "reset_link",
    "verify_audit",
    "verify_email",
]

Role = Literal["viewer", "member", "approver", "admin"]
Status = Literal["active", "inactive"]

T = TypeVar("T")


def reset_link(email: str) -> int:
    """Print a link that sets a new password."""
    from src.api.admin import make_reset_link

    terminal = Terminal()
    link = _run(make_reset_link(email))
    terminal.note(Text("Give this link to the owner of the account. It works once and for an hour:"))
    sys.stdout.write(f"{link}\n")  # a terminal's width must not break the link
    return DONE


def verify_email(email: str) -> int:
    from src.api.admin import verify_email as verify

    _run(verify(email))
    Terminal().show(Text(f"{one_line(email)} is verified."))
    return DONE


def change_email(email: str, new: str) -> int:
    from src.api.admin import change_email as change

    _run(change(email, new))
    Terminal().show(Text(f"The account of {one_line(email)} now has the e-mail {one_line(new)}, verified."))
    return DONE


def list_users(as_json: bool) -> int:
    from src.api.admin import list_users as read

    members = _run(read())
    if as_json:
        for member in members:
            write_json(member.model_dump(mode="json"))
        return DONE
    terminal = Terminal()
    table = terminal.table("E-mail", "Role", "Status", "Name", "Id")
    for member in members:
        table.add_row(
            *map(Text, (one_line(member.email), member.role, member.status, one_line(member.name or ""), member.id))
        )
    terminal.show_table(table) if members else terminal.note(Text("No accounts."))
    return DONE


def add_user(email: str, name: str | None, role: Role) -> int:
    """Add an account and print a link that sets its password."""
    from src.api.admin import add_user as add

    link = _run(add(email, name, role))
    Terminal().note(Text("Give this link to the owner of the account. It works once and for an hour:"))
    sys.stdout.write(f"{link}\n")
    return DONE


def change_user(email: str, *, role: Role | None = None, status: Status | None = None) -> int:
    from src.api.admin import change_user as change
    from src.api.schemas.team import MemberChange

    given = {name: value for name, value in (("role", role), ("status", status)) if value is not None}
    member = _run(change(email, MemberChange.model_validate(given)))
    Terminal().show(Text(f"{one_line(member.email)} is {member.role}, {member.status}."))
    return DONE


def prune(days: int | None, *, dry_run: bool) -> int:
    """Delete conversations without activity, and print how many."""
    from src.api.admin import prune as run

    report = _run(run(days, dry_run=dry_run))
    done = f"Would delete {report.deleted} conversations" if dry_run else f"Deleted {report.deleted} conversations"
    kept = f"{report.kept} are kept: something in them is still open or its outcome is unknown."
    Terminal().show(Text(f"{done}. {kept if report.kept else 'None has to be kept.'}"))
    if report.deleted and not dry_run:
        Terminal().note(Text("Engines on this database erase their contents with the next sweeps."))
    return DONE


def verify_audit(seal: str | None, as_json: bool) -> int:
    """Check the whole audit log without an engine. Exit code 1 if it was changed."""
    from src.api.admin import verify_audit as verify
    from src.cli.audit import print_report

    report = _run(verify(seal)).model_dump(mode="json")
    if as_json:
        write_json(report)
    else:
        print_report(report, {name: number(report, name) for name in ("seals", "entries", "unsealed")})
    return DONE if report["status"] == "intact" else FAILED


def _run(work: Coroutine[None, None, T]) -> T:
    from src.api.admin import AdminError

    try:
        return asyncio.run(work)
    except AdminError as error:
        raise CliError(str(error)) from error
