"""Open the database on the engine's host for the commands `skyflo admin`."""

import getpass
import os
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from pydantic import EmailStr, SecretStr, TypeAdapter, ValidationError

from skyflo_common.clock import SystemClock
from src.api.adapters.store.migrations import list_pending
from src.api.adapters.store.store import open_store
from src.api.config.settings import Settings, SettingsError
from src.api.database import is_pooled
from src.api.errors import EngineError
from src.api.host_settings import load_host_settings
from src.api.ports import Store
from src.api.schemas.audit import AuditReport
from src.api.schemas.team import Member, MemberChange, MemberCreate, RoleName
from src.api.services.access import LOCAL_ADMIN_ID, Caller, Role
from src.api.services.accounts.access_tokens import AccessTokens
from src.api.services.accounts.auth import Auth
from src.api.services.accounts.failed_logins import FailedLogins
from src.api.services.accounts.host_admin import HostAdmin
from src.api.services.accounts.mail_links import MailLinks
from src.api.services.accounts.team import Team
from src.api.services.accounts.users import UserDatabase, UserManager
from src.api.services.audit.check import AuditChecker
from src.api.services.audit.sealing import SealKey
from src.api.services.background import BackgroundTasks
from src.api.services.conversations.retention import PruneReport, Pruning
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7
from src.api.utils.times import DAY_MS

__all__ = [
    "AdminError",
    "add_user",
    "change_email",
    "change_user",
    "list_users",
    "make_reset_link",
    "prune",
    "verify_audit",
    "verify_email",
]

MAX_USERS = 10_000
PAGE = 100

_EMAIL: TypeAdapter[str] = TypeAdapter(EmailStr)


class AdminError(Exception):
    """The command can't be carried out; its text says why and what to do."""


async def make_reset_link(email: str) -> str:
    """Return a link that sets the account's password, once and within an hour. Raises `AdminError`."""
    async with _open_host() as host:
        return await host.admin().reset_link(email)


async def verify_email(email: str) -> None:
    """Mark the account's e-mail as verified. Raises `AdminError`."""
    async with _open_host() as host:
        await host.admin().verify_email(email)


async def change_email(email: str, new: str) -> None:
    """Give the account a new, verified e-mail. Raises `AdminError`."""
    try:
        valid = _EMAIL.validate_python(new)
    except ValidationError as error:
        raise AdminError(f"{new!r} is not an e-mail address.") from error
    async with _open_host() as host:
        await host.admin().change_email(email, valid)


async def list_users() -> Sequence[Member]:
    """Return all accounts, newest first, removed ones included; `MAX_USERS` at most. Raises `AdminError`."""
    found: list[Member] = []
    async with _open_host() as host, host.team() as team:
        cursor: str | None = None
        while len(found) < MAX_USERS:
            page = await team.list(host.caller, "all", cursor, PAGE)
            found += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
    return found


async def add_user(email: str, name: str | None, role: RoleName) -> str:
    """Add an account without a known password. Returns a link that sets one. Raises `AdminError`."""
    try:
        wanted = MemberCreate(email=email, name=name, role=role, password=SecretStr(secrets.token_urlsafe(32)))
    except ValidationError as error:
        problem = error.errors()[0]
        raise AdminError(f"The {problem['loc'][0]} can't be used: {problem['msg']}.") from error
    async with _open_host() as host, host.team() as team:
        member = await team.add(host.caller, wanted)
        return await host.admin().reset_link(member.email)


async def change_user(email: str, change: MemberChange) -> Member:
    """Change an account's role or status; `inactive` ends its sessions, tokens and runs. Raises `AdminError`."""
    async with _open_host() as host, host.team() as team:
        return await team.change(host.caller, (await host.admin().find(email)).id, change)


async def prune(days: int | None, *, dry_run: bool) -> PruneReport:
    """Delete the conversations without activity for `days`, by default RETENTION_DAYS. Raises `AdminError`."""
    async with _open_host() as host:
        kept_days = days or host.settings.retention_days
        if kept_days is None:
            raise AdminError("RETENTION_DAYS is not set. Give the number of days with --days.")
        cutoff = SystemClock().now() - kept_days * DAY_MS
        return await Pruning(host.store, host.caller.actor).run(cutoff, dry_run=dry_run)


async def verify_audit(seal: str | None) -> AuditReport:
    """Check the whole audit log in the database; `seal` is a copy of a seal, `n:hash`. Raises `AdminError`."""
    async with _open_host() as host:
        checker = AuditChecker(host.store, SealKey(host.settings.audit_secret))
        report = await checker.check(None, seal)
        while report.next_cursor is not None:
            before, report = report, await checker.check(report.next_cursor, seal)
            totals = {name: getattr(before, name) + getattr(report, name) for name in ("seals", "entries", "unsealed")}
            report = report.model_copy(update=totals)
        return report


@dataclass(frozen=True, slots=True)
class _Host:
    """The engine's database, and the user of the host as a caller."""

    settings: Settings
    store: Store
    caller: Caller

    def admin(self) -> HostAdmin:
        manager = UserManager(UserDatabase(self.store, Uuid7(), registration_enabled=False), self.settings.secret)
        return HostAdmin(self.store, manager, self.settings.public_url, self.caller.actor)

    @asynccontextmanager
    async def team(self) -> AsyncIterator[Team]:
        settings = self.settings
        async with BackgroundTasks(shutdown_timeout=0) as tasks:
            accounts = Auth(
                self.store,
                Uuid7(),
                signing=AccessTokens(settings.secret, settings.jwt_algorithm, 60),
                mail_links=MailLinks(tasks, settings.public_url),
                failed=FailedLogins(self.store, tasks, SystemClock()),
                refresh_days=settings.jwt_refresh_token_expire_days,
                registration_enabled=False,
            )

            async def load() -> Auth:
                return accounts

            yield Team(self.store, Uuid7(), load, _leave_runs_to_the_sweep)


async def _leave_runs_to_the_sweep(_: str) -> None:
    """Stop no run here: the engines' sweep stops those of a removed user."""


@asynccontextmanager
async def _open_host() -> AsyncIterator[_Host]:
    try:
        settings = load_host_settings()
        url = settings.database_url
        if missing := await list_pending(url):
            raise AdminError(f"The database lacks {', '.join(missing)}. Start the engine, or run: aerich upgrade")
        failpoints = Failpoints.from_environment(settings.environment)
        async with open_store(url, failpoints=failpoints, pooled=await is_pooled(settings)) as store:
            yield _Host(settings, store, Caller(LOCAL_ADMIN_ID, Role.ADMIN, "host", audit_name=_host_user()))
    except SettingsError as error:
        raise AdminError(str(error)) from error
    except EngineError as error:
        raise AdminError(error.detail) from error


def _host_user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
