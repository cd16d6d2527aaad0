"""The team: who belongs to it, in which role. For admins only, of whom there is always one."""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence

import orjson

from src.api.errors import BadRequest, Conflict, Forbidden, NotFound, Unprocessable
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.auth import AccountChange, UserView
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Plus, Scalar
from src.api.schemas.records import User
from src.api.schemas.runs import Page
from src.api.schemas.team import Member, MemberChange, MemberList, MemberWanted
from src.api.schemas.trail import AuditHead
from src.api.services.access import Caller, Role, require_admin
from src.api.services.accounts import LOCAL_ADMIN, Accounts
from src.api.services.acting import unfit_names
from src.api.services.paging import Cursor, newest
from src.api.services.sessions import end_sessions
from src.api.services.tokens import end_tokens
from src.api.services.trail import fields_of
from src.api.utils.canonical import canonical
from src.api.utils.chain import GENESIS

__all__ = ["Team", "give_role", "lock_team"]

logger = logging.getLogger(__name__)
_TO_DO = "manage the team"


async def lock_team(tx: Transaction) -> None:
    """Must come first: the row of the team's audit is the lock that lets one change of the team happen at a time."""
    await tx.insert(AuditHead(stream="team", n=0, hash=GENESIS, since=1, seal=0))
    await tx.change(AuditHead, {"stream": "team"}, n=Plus(0))


async def give_role(tx: Transaction, user: User, role: Role) -> User:
    """The user, locked and in this role, by a transaction that holds the team's lock. The last admin stays one."""
    changed = await tx.change(User, {"id": user.id}, **_role_values(role.value)) or user
    if _is_admin(user) and not _is_admin(changed) and not await _an_admin_is_left(tx):
        logger.warning("The last admin has no group that makes one", extra={"action": "team.last_admin"})
        return await give_role(tx, changed, Role.ADMIN)
    return changed


StopRuns = Callable[[str], Awaitable[None]]
"""Stops the runs of a removed person. What it can't stop at this moment, the sweep does."""


class Team:
    """Each call raises `Forbidden` unless the caller is an admin, for changes at the moment when they are made."""

    def __init__(
        self, store: Store, ids: Ids, accounts: Callable[[], Awaitable[Accounts]], stop_runs: StopRuns
    ) -> None:
        self._store = store
        self._ids = ids
        self._accounts = accounts
        self._stop_runs = stop_runs

    async def list(self, caller: Caller, cursor: str | None, limit: int) -> MemberList:
        """Everybody, removed members too; who came last comes first."""
        require_admin(caller, _TO_DO)
        after = Cursor.parse(cursor)

        async def body(reader: Reader) -> Sequence[User]:
            return await newest(reader, User, after, limit + 1)

        found = await self._store.read(body)
        shown, more = found[:limit], len(found) > limit
        following = str(Cursor(shown[-1].created_at, shown[-1].id)) if more else None
        page = Page(limit=limit, next_cursor=following, has_more=more)
        return MemberList(data=[_member(user) for user in shown], pagination=page)

    async def add(self, caller: Caller, wanted: MemberWanted) -> Member:
        """Raises `Conflict` for an e-mail that somebody has, `BadRequest` for a password that won't do."""
        require_admin(caller, _TO_DO)
        _check_names(wanted.kubernetes_user, wanted.kubernetes_groups)
        email, user_id = wanted.email.lower(), self._ids.new()
        hashed = await (await self._accounts()).hashed(email, wanted.password)

        async def body(tx: Transaction) -> User | None:
            await _lock_for(tx, caller)
            user = _user(user_id, wanted, email, hashed, await tx.now())
            if not await tx.insert(user):
                return None
            tx.audit("team", "member.added", caller.actor, _told(user))
            return user

        made = await self._store.transaction(body)
        if made is None:
            raise Conflict("There is an account with this e-mail already. Change that one; a removed one, to active.")
        return _member(made)

    async def change(self, caller: Caller, member_id: str, wanted: MemberChange) -> Member:
        """Raises `NotFound`, and `Conflict` where no admin would be left."""
        require_admin(caller, _TO_DO)
        _check_names(wanted.kubernetes_user, wanted.kubernetes_groups or ())
        return _member(await self._changed(caller, member_id, _values(wanted)))

    async def remove(self, caller: Caller, member_id: str) -> Member:
        """Deactivates the account, ends its sessions and tokens, and stops its runs.

        What this person did stays on record, and a change that is under way is not cancelled.
        """
        require_admin(caller, _TO_DO)
        return _member(await self._changed(caller, member_id, {"is_active": False}))

    async def account(self, caller: Caller, user_id: str) -> UserView:
        """Anybody's account. Raises `NotFound`."""
        require_admin(caller, _TO_DO)
        return UserView.model_validate(await self._known(user_id), from_attributes=True)

    async def change_account(self, caller: Caller, user_id: str, wanted: AccountChange) -> UserView:
        """Changes somebody else's account; one's own as `Accounts.change_me` does. A new password ends the sessions.

        Raises `NotFound`, `BadRequest` for an e-mail or a password that won't do, and `Conflict` where no admin would
        be left.
        """
        require_admin(caller, _TO_DO)
        accounts = await self._accounts()
        if user_id == caller.id:
            return await accounts.change_me(caller, wanted)
        before = await self._known(user_id)
        values = await _account_values(before, wanted, accounts)
        if "email" in values:
            await self._require_free(str(values["email"]))
        return UserView.model_validate(await self._changed(caller, user_id, values), from_attributes=True)

    async def _known(self, user_id: str) -> User:
        async def body(reader: Reader) -> User | None:
            return await reader.get(User, id=user_id)

        found = await self._store.read(body)
        if found is None:
            raise NotFound("There is no such account.")
        return found

    async def _require_free(self, email: str) -> None:
        async def body(reader: Reader) -> list[User]:
            return await reader.find(User, {"email": email}, limit=1)

        if await self._store.read(body):
            raise BadRequest("There is an account with this e-mail.", reason="UPDATE_USER_EMAIL_ALREADY_EXISTS")

    async def _changed(self, caller: Caller, member_id: str, values: dict[str, Scalar]) -> User:
        async def body(tx: Transaction) -> User:
            await _lock_for(tx, caller)
            before = await tx.get(User, id=member_id)
            changed = await tx.change(User, {"id": member_id}, **values) if before and values else before
            if before is None or changed is None:
                raise NotFound("There is no such member.")
            if _is_admin(before) and not _is_admin(changed) and not await _an_admin_is_left(tx):
                raise Conflict("The team would be left without an admin. Make somebody else admin first.")
            if not changed.is_active:
                await end_tokens(tx, member_id)
            if not changed.is_active or "hashed_password" in values:
                await end_sessions(tx, member_id)
            if values:
                _audit_change(tx, caller, before, changed, values)
            return changed

        changed = await self._store.transaction(body)
        if not changed.is_active:
            await self._stop_runs(changed.id)
        return changed


async def _lock_for(tx: Transaction, caller: Caller) -> None:
    """Another admin may have taken the caller's role away while this request waited."""
    await lock_team(tx)
    if caller.id == LOCAL_ADMIN.id:
        return
    user = await tx.get(User, id=caller.id)
    if user is None or not _is_admin(user):
        raise Forbidden("Only admins manage the team, and you are none any more.")


def _audit_change(tx: Transaction, caller: Caller, before: User, changed: User, values: Mapping[str, Scalar]) -> None:
    removed = before.is_active and not changed.is_active
    body: JsonObject = {**_told(changed), "was": _told(before), "fields": fields_of(values)}
    tx.audit("team", "member.removed" if removed else "member.changed", caller.actor, body)


def _told(user: User) -> JsonObject:
    status = "active" if user.is_active else "inactive"
    return {"member_id": user.id, "email": user.email, "role": user.role, "status": status}


def _is_admin(user: User) -> bool:
    return user.is_active and user.role == Role.ADMIN.value


async def _an_admin_is_left(tx: Transaction) -> bool:
    return bool(await tx.find(User, {"role": Role.ADMIN.value, "is_active": True}, limit=1))


def _check_names(user: str | None, groups: Sequence[str]) -> None:
    problem = unfit_names(user or "nobody", groups)
    if problem is not None:
        raise Unprocessable(problem)


def _values(wanted: MemberChange) -> dict[str, Scalar]:
    given = wanted.model_fields_set
    values: dict[str, Scalar] = {}
    if "name" in given:
        values["full_name"] = wanted.name
    if "kubernetes_user" in given:
        values["kubernetes_user"] = wanted.kubernetes_user
    if wanted.kubernetes_groups is not None:
        values["kubernetes_groups"] = canonical([*wanted.kubernetes_groups])
    if wanted.role is not None:
        values |= _role_values(wanted.role)
    if wanted.status is not None:
        values["is_active"] = wanted.status == "active"
    return values


def _role_values(role: str) -> dict[str, Scalar]:
    return {"role": role, "is_superuser": role == Role.ADMIN.value}


async def _account_values(before: User, wanted: AccountChange, accounts: Accounts) -> dict[str, Scalar]:
    values: dict[str, Scalar] = {}
    if wanted.full_name is not None:
        values["full_name"] = wanted.full_name
    if wanted.email is not None and wanted.email.lower() != before.email:
        values |= {"email": wanted.email.lower(), "is_verified": False}
    if wanted.is_verified is not None:
        values["is_verified"] = wanted.is_verified
    if wanted.is_active is not None:
        values["is_active"] = wanted.is_active
    if wanted.password is not None:
        email = str(values.get("email", before.email))
        values["hashed_password"] = await accounts.hashed(email, wanted.password, "UPDATE_USER_INVALID_PASSWORD")
    return values


def _user(user_id: str, wanted: MemberWanted, email: str, hashed: str, now: int) -> User:
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
    )


def _member(user: User) -> Member:
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
