"""Manage team members and roles. Only admins may; at least one admin always remains."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

import orjson

from src.api.errors import BadRequest, Conflict, Forbidden, NotFound, Unprocessable
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.auth import AccountChange, ResetLink, UserView
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Increment, Scalar, Where
from src.api.schemas.records import AuditHead, User
from src.api.schemas.team import Member, MemberChange, MemberCreate, MemberFilter
from src.api.services.access import Caller, Role, require_admin
from src.api.services.accounts.accounts import LOCAL_ADMIN, Accounts
from src.api.services.accounts.api_tokens import end_tokens
from src.api.services.accounts.former_names import keep_former_names
from src.api.services.accounts.impersonation import find_name_problem
from src.api.services.accounts.sessions import end_sessions, lock_user
from src.api.services.audit.log import fields_of
from src.api.services.pagination import Cursor, ResultPage, find_newest, next_cursor
from src.api.utils.audit_hash import GENESIS
from src.api.utils.canonical import canonical

__all__ = ["Team", "assign_role", "lock_team"]

logger = logging.getLogger(__name__)
_ACTION = "manage the team"


async def lock_team(tx: Transaction) -> None:
    """Serialize changes of the team by locking its audit head. Call it first in a transaction."""
    await tx.insert(AuditHead(stream="team", n=0, hash=GENESIS, since=1, seal=0))
    await tx.change(AuditHead, {"stream": "team"}, n=Increment(0))


async def assign_role(tx: Transaction, user: User, role: Role) -> User:
    """Set a user's role and return the user.

    The transaction must hold the team's lock. The last admin keeps the role.
    """
    changed = await tx.change(User, {"id": user.id}, **_role_columns(role.value)) or user
    if _is_admin(user) and not _is_admin(changed) and not await _has_admin(tx):
        logger.warning("The last admin has no group that makes one", extra={"action": "team.last_admin"})
        return await assign_role(tx, changed, Role.ADMIN)
    return changed


StopRuns = Callable[[str], Awaitable[None]]
"""Stop the runs of a removed user. The sweep stops those that this misses."""


@dataclass(slots=True)
class Team:
    """Manage members. Each method raises `Forbidden` unless the caller is an admin, checked again inside each
    transaction.
    """

    store: Store
    ids: Ids
    accounts: Callable[[], Awaitable[Accounts]]
    stop_runs: StopRuns

    async def list(self, caller: Caller, status: MemberFilter, cursor: str | None, limit: int) -> ResultPage[Member]:
        """List members with this status, newest first."""
        require_admin(caller, _ACTION)
        after = Cursor.parse(cursor)
        where: Where = {} if status == "all" else {"is_active": status == "active"}

        async def body(reader: Reader) -> Sequence[User]:
            return await find_newest(reader, User, after, limit + 1, where)

        found = await self.store.read(body)
        return ResultPage([_member_view(user) for user in found[:limit]], next_cursor(found, limit))

    async def add(self, caller: Caller, wanted: MemberCreate) -> Member:
        """Add a member. Raises `Conflict` if the e-mail is taken, `BadRequest` if the password is too weak."""
        require_admin(caller, _ACTION)
        _check_kubernetes_names(wanted.kubernetes_user, wanted.kubernetes_groups)
        email, user_id = wanted.email.lower(), self.ids.new()
        hashed = await (await self.accounts()).hash_password(email, wanted.password)

        async def body(tx: Transaction) -> User | None:
            await _lock_as_admin(tx, caller)
            user = _new_user(user_id, wanted, email, hashed, await tx.now())
            if not await tx.insert(user):
                return None
            tx.audit("team", "member.added", caller.actor, _audit_body(user))
            return user

        made = await self.store.transaction(body)
        if made is None:
            raise Conflict("There is an account with this e-mail already. Change that one; a removed one, to active.")
        return _member_view(made)

    async def change(self, caller: Caller, member_id: str, wanted: MemberChange) -> Member:
        """Change a member. Raises `NotFound`, and `Conflict` if no admin would remain."""
        require_admin(caller, _ACTION)
        _check_kubernetes_names(wanted.kubernetes_user, wanted.kubernetes_groups or ())
        return _member_view(await self._update(caller, member_id, _changed_columns(wanted)))

    async def remove(self, caller: Caller, member_id: str) -> Member:
        """Deactivate the account, end its sessions and tokens, and stop its runs.

        The user's history stays, and a change that is already running is not cancelled.
        """
        require_admin(caller, _ACTION)
        return _member_view(await self._update(caller, member_id, {"is_active": False}))

    async def account(self, caller: Caller, user_id: str) -> UserView:
        """Return any account. Raises `NotFound`."""
        require_admin(caller, _ACTION)
        return UserView.model_validate(await self._get_user(user_id), from_attributes=True)

    async def change_account(self, caller: Caller, user_id: str, wanted: AccountChange) -> UserView:
        """Change an account; for the caller's own, `Accounts.change_profile` applies. A new password ends the user's
        sessions.

        Raises `NotFound`, `BadRequest` for an invalid e-mail or password, and `Conflict` if no admin would remain.
        """
        require_admin(caller, _ACTION)
        accounts = await self.accounts()
        if user_id == caller.id:
            return await accounts.change_profile(caller, wanted)
        before = await self._get_user(user_id)
        values = await _changed_account_columns(before, wanted, accounts)
        if "email" in values:
            await self._require_free(str(values["email"]))
        return UserView.model_validate(await self._update(caller, user_id, values), from_attributes=True)

    async def make_reset_link(self, caller: Caller, user_id: str) -> ResetLink:
        """Return a link that sets the password of another account. Raises `NotFound`, `Conflict`, `Forbidden`."""
        require_admin(caller, _ACTION)
        if user_id == caller.id:
            raise Forbidden("Change your own password at PATCH /auth/users/me/password, with the current one.")
        link = await (await self.accounts()).make_reset_link(user_id)

        async def body(tx: Transaction) -> None:
            await _lock_as_admin(tx, caller)
            user = await tx.get(User, id=user_id)
            if user is None:
                raise NotFound("There is no such account.")
            tx.audit("team", "member.reset_link_made", caller.actor, _audit_body(user))

        await self.store.transaction(body)
        return link

    async def _get_user(self, user_id: str) -> User:
        async def body(reader: Reader) -> User | None:
            return await reader.get(User, id=user_id)

        found = await self.store.read(body)
        if found is None:
            raise NotFound("There is no such account.")
        return found

    async def _require_free(self, email: str) -> None:
        async def body(reader: Reader) -> list[User]:
            return await reader.find(User, {"email": email}, limit=1)

        if await self.store.read(body):
            raise BadRequest("There is an account with this e-mail.", reason="UPDATE_USER_EMAIL_ALREADY_EXISTS")

    async def _update(self, caller: Caller, member_id: str, values: dict[str, Scalar]) -> User:
        async def body(tx: Transaction) -> User:
            await _lock_as_admin(tx, caller)
            before = await lock_user(tx, member_id)
            changed = await tx.change(User, {"id": member_id}, **values) if before and values else before
            if before is None or changed is None:
                raise NotFound("There is no such member.")
            if _is_admin(before) and not _is_admin(changed) and not await _has_admin(tx):
                raise Conflict("The team would be left without an admin. Make another member an admin first.")
            await keep_former_names(tx, before, changed, await tx.now())
            if not changed.is_active:
                await end_tokens(tx, member_id)
            if not changed.is_active or "hashed_password" in values:
                await end_sessions(tx, member_id)
            if values:
                _audit_change(tx, caller, before, changed, values)
            return changed

        changed = await self.store.transaction(body)
        if not changed.is_active:
            await self.stop_runs(changed.id)
        return changed


async def _lock_as_admin(tx: Transaction, caller: Caller) -> None:
    """Lock the team and require that the caller is still an admin.

    Another admin may have changed the caller's role while this request waited.
    """
    await lock_team(tx)
    if caller.id == LOCAL_ADMIN.id:
        return
    user = await tx.get(User, id=caller.id)
    if user is None or not _is_admin(user):
        raise Forbidden("You are no longer an admin, so you can't manage the team.")


def _audit_change(tx: Transaction, caller: Caller, before: User, changed: User, values: Mapping[str, Scalar]) -> None:
    removed = before.is_active and not changed.is_active
    body: JsonObject = {**_audit_body(changed), "was": _audit_body(before), "fields": fields_of(values)}
    tx.audit("team", "member.removed" if removed else "member.changed", caller.actor, body)


def _audit_body(user: User) -> JsonObject:
    status = "active" if user.is_active else "inactive"
    return {"member_id": user.id, "email": user.email, "role": user.role, "status": status}


def _is_admin(user: User) -> bool:
    return user.is_active and user.role == Role.ADMIN.value


async def _has_admin(tx: Transaction) -> bool:
    return bool(await tx.find(User, {"role": Role.ADMIN.value, "is_active": True}, limit=1))


def _check_kubernetes_names(user: str | None, groups: Sequence[str]) -> None:
    problem = find_name_problem(user or "nobody", groups)
    if problem is not None:
        raise Unprocessable(problem)


def _changed_columns(wanted: MemberChange) -> dict[str, Scalar]:
    given = wanted.model_fields_set
    values: dict[str, Scalar] = {}
    if "name" in given:
        values["full_name"] = wanted.name
    if "kubernetes_user" in given:
        values["kubernetes_user"] = wanted.kubernetes_user
    if wanted.kubernetes_groups is not None:
        values["kubernetes_groups"] = canonical([*wanted.kubernetes_groups])
    if wanted.role is not None:
        values |= _role_columns(wanted.role)
    if wanted.status is not None:
        values["is_active"] = wanted.status == "active"
    return values


def _role_columns(role: str) -> dict[str, Scalar]:
    return {"role": role, "is_superuser": role == Role.ADMIN.value}


async def _changed_account_columns(before: User, wanted: AccountChange, accounts: Accounts) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if wanted.full_name is not None:
        values["full_name"] = wanted.full_name
    if wanted.email is not None and wanted.email.lower() != before.email:
        values |= {"email": wanted.email.lower(), "is_verified": False, "pending_email": None}
    if wanted.is_verified is not None:
        values["is_verified"] = wanted.is_verified
    if wanted.is_active is not None:
        values["is_active"] = wanted.is_active
    if wanted.password is not None:
        email = str(values.get("email", before.email))
        values["hashed_password"] = await accounts.hash_password(email, wanted.password, "UPDATE_USER_INVALID_PASSWORD")
    return values


def _new_user(user_id: str, wanted: MemberCreate, email: str, hashed: str, now: int) -> User:
    return User(
        id=user_id,
        email=email,
        hashed_password=hashed,
        full_name=wanted.name,
        role=wanted.role,
        is_active=True,
        is_superuser=wanted.role == Role.ADMIN.value,
        is_verified=False,
        kubernetes_user=wanted.kubernetes_user,
        kubernetes_groups=canonical([*wanted.kubernetes_groups]),
        created_at=now,
        pending_email=None,
    )


def _member_view(user: User) -> Member:
    return Member(
        id=user.id,
        email=user.email,
        name=user.full_name,
        role=Role(user.role).value,
        status="active" if user.is_active else "inactive",
        created_at=user.created_at,
        kubernetes_user=user.kubernetes_user,
        kubernetes_groups=orjson.loads(user.kubernetes_groups),
    )
