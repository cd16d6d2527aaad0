"""Sessions: begun by signing in, kept alive by refresh tokens that each work once, ended by their owner or an admin.

A session is a family of rows in `refresh_tokens`. The first bears the session's id and no token: the session is over
once that row is revoked, whichever tokens are about. Every change begins with an update of the user's row, which makes
rotation, logout, a new password and removal wait for each other.
"""

import logging
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from src.api.errors import NotAuthenticated
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Condition, Plus, at_most, other_than
from src.api.schemas.records import RefreshToken, User
from src.api.services.trail import actor_of, user_stream
from src.api.utils.canonical import sha256

__all__ = ["Sessions", "end_sessions"]

logger = logging.getLogger(__name__)

DAY = 86_400


@dataclass(frozen=True, slots=True)
class Renewed:
    """What came of a refresh token: whose it was, of which session, and the one that takes its place."""

    user: User
    session: str
    token: str


class Sessions:
    """Refresh tokens live for `refresh_days` and are kept as SHA-256 only; `random` makes them."""

    def __init__(
        self, store: Store, ids: Ids, refresh_days: int, random: Callable[[], str] = secrets.token_urlsafe
    ) -> None:
        self._store = store
        self._ids = ids
        self._random = random
        self.refresh_seconds = refresh_days * DAY

    async def begin(self, user_id: str, hashed_password: str) -> str | None:
        """The id of a new session; None if the account was closed, or got another password, in the meantime."""
        session = self._ids.new()

        async def body(tx: Transaction) -> bool:
            user = await _locked(tx, user_id, hashed_password=hashed_password, is_active=True)
            if user is None:
                return False
            tx.audit(user_stream(user_id), "session.begun", actor_of(user), {"session": session})
            return await self._first(tx, user_id, session, None)

        return session if await self._store.transaction(body) else None

    async def enter(self, tx: Transaction, user_id: str, session: str, lasts: int) -> str | None:
        """Begins this session for a user whose row the transaction has locked, for `lasts` seconds in all.

        Its first refresh token; None if it was begun before: a session begins once.
        """
        token = self._random()
        ends_at = await tx.now() + lasts * 1000
        if not await self._first(tx, user_id, session, ends_at):
            return None
        await self._add(tx, self._ids.new(), user_id, session, token, ends_at)
        return token

    async def holder(self, user_id: str, session: str) -> User | None:
        """The user, as long as both the account and this session of theirs are open."""

        async def body(reader: Reader) -> User | None:
            first = await reader.get(RefreshToken, id=session)
            if first is None or first.user_id != user_id or first.revoked_at is not None:
                return None
            user = await reader.get(User, id=user_id)
            return user if user is not None and user.is_active else None

        return await self._store.read(body)

    async def issue(self, user_id: str, session: str) -> str:
        """A refresh token for this session, in place of one that was issued before and never used."""
        token, row_id = self._random(), self._ids.new()

        async def body(tx: Transaction) -> bool:
            _, first = await _open(tx, user_id, session)
            if first is None:
                return False
            await tx.remove(
                RefreshToken, {"family": session, "used_at": None, "token_sha256": other_than(_mark(session))}
            )
            await self._add(tx, row_id, user_id, session, token, first.ends_at)
            return True

        if not await self._store.transaction(body):
            raise _over()
        return token

    async def renew(self, token: str) -> Renewed:
        """Uses the token up for another. Raises `NotAuthenticated` where it can't be used.

        One that was used before has been copied by somebody: then its session is over for all who hold a part of it.
        """
        held = await self._held(token)
        fresh, row_id = self._random(), self._ids.new()

        async def body(tx: Transaction) -> User | None:
            user, first = await _open(tx, held.user_id, held.family)
            now = await tx.now()
            found = await tx.get(RefreshToken, id=held.id)
            if first is None or found is None or found.expires_at <= now:
                return None
            if await tx.change(RefreshToken, {"id": held.id, "used_at": None}, used_at=now) is None:
                logger.warning("A refresh token came back", extra={"action": "auth.refresh_reused"})
                await tx.change(RefreshToken, {"id": held.family}, revoked_at=now)
                body: JsonObject = {"session": held.family, "reason": "a refresh token was used twice"}
                tx.audit(user_stream(held.user_id), "session.revoked", ENGINE, body)
                return None
            await self._add(tx, row_id, held.user_id, held.family, fresh, first.ends_at)
            return user

        user = await self._store.transaction(body)
        if user is None:
            raise _over()
        return Renewed(user, held.family, fresh)

    async def end(self, user_id: str, session: str) -> None:
        """Ending it twice is the same."""

        async def body(tx: Transaction) -> None:
            user = await _locked(tx, user_id)
            ended = await tx.change(RefreshToken, {"id": session, "revoked_at": None}, revoked_at=await tx.now())
            if user is not None and ended is not None:
                tx.audit(user_stream(user_id), "session.ended", actor_of(user), {"session": session})

        await self._store.transaction(body)

    async def _held(self, token: str) -> RefreshToken:
        async def body(reader: Reader) -> list[RefreshToken]:
            return await reader.find(RefreshToken, {"token_sha256": sha256(token)}, limit=1)

        found = await self._store.read(body)
        if not found:
            raise _over()
        return found[0]

    async def _first(self, tx: Transaction, user_id: str, session: str, ends_at: int | None) -> bool:
        now = await tx.now()
        await _forget(tx, user_id, now)
        return await tx.insert(self._row(session, user_id, session, _mark(session), now, ends_at))

    async def _add(
        self, tx: Transaction, row_id: str, user_id: str, session: str, token: str, ends_at: int | None
    ) -> None:
        """The session's own row lives as long as its newest token, neither longer than the session."""
        now = await tx.now()
        await _forget(tx, user_id, now)
        row = self._row(row_id, user_id, session, sha256(token), now, ends_at)
        await tx.insert(row)
        await tx.change(RefreshToken, {"id": session}, expires_at=row.expires_at)

    def _row(
        self, row_id: str, user_id: str, session: str, token_sha256: str, now: int, ends_at: int | None
    ) -> RefreshToken:
        expires_at = now + self.refresh_seconds * 1000
        return RefreshToken(
            id=row_id,
            user_id=user_id,
            family=session,
            token_sha256=token_sha256,
            used_at=None,
            revoked_at=None,
            ends_at=ends_at,
            expires_at=expires_at if ends_at is None else min(expires_at, ends_at),
            created_at=now,
        )


async def end_sessions(tx: Transaction, user_id: str, *, but: str = "") -> None:
    """Ends all sessions of a user, whose row the transaction has locked, except `but`."""
    others: dict[str, Condition] = {"user_id": user_id, "revoked_at": None, "family": other_than(but)}
    await tx.change_all(RefreshToken, others, revoked_at=await tx.now())


async def _forget(tx: Transaction, user_id: str, now: int) -> None:
    await tx.remove(RefreshToken, {"user_id": user_id, "expires_at": at_most(now)})


async def _locked(tx: Transaction, user_id: str, **guard: str | bool) -> User | None:
    return await tx.change(User, {"id": user_id, **guard}, created_at=Plus(0))


async def _open(tx: Transaction, user_id: str, session: str) -> tuple[User | None, RefreshToken | None]:
    """The user, locked, and the first row of the session, which is there if both account and session are open."""
    user = await _locked(tx, user_id, is_active=True)
    first = await tx.get(RefreshToken, id=session)
    over = first is None or first.revoked_at is not None or (first.ends_at or math.inf) <= await tx.now()
    return (None, None) if user is None or over else (user, first)


def _mark(session: str) -> str:
    """What the first row of a session has where the others have the hash of a token: no token hashes to it."""
    return f"session:{session}"


def _over() -> NotAuthenticated:
    return NotAuthenticated("This session is over. Sign in again.")
