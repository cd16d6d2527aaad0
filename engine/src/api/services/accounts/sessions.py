"""Sessions: created by sign-in, extended by single-use refresh tokens, ended by their owner or an admin.

A session is a family of rows in `refresh_tokens`. The first row has the session's id and no token. Revoking that row
ends the session, whatever tokens exist. Every change first updates the user's row, which serializes rotation, logout,
password changes and removal.
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
from src.api.schemas.query import Condition, Increment, le, ne
from src.api.schemas.records import RefreshToken, User
from src.api.services.audit.log import actor_of, user_stream
from src.api.utils.canonical import sha256

__all__ = ["Sessions", "end_sessions", "lock_user"]

logger = logging.getLogger(__name__)

DAY_SECONDS = 86_400
REUSE_SECONDS = 30
"""Time in which a refresh token that was used once may be used again."""


@dataclass(frozen=True, slots=True)
class RenewedSession:
    """The result of a refresh: the user, the session, and the next refresh token."""

    user: User
    session: str
    token: str


class Sessions:
    """Manage sessions. Refresh tokens live for `refresh_days`; the database stores only their SHA-256."""

    def __init__(
        self, store: Store, ids: Ids, refresh_days: int, random: Callable[[], str] = secrets.token_urlsafe
    ) -> None:
        self._store = store
        self._ids = ids
        self._random = random
        self.refresh_seconds = refresh_days * DAY_SECONDS

    async def begin(self, user_id: str, hashed_password: str) -> str | None:
        """Begin a session and return its id; None if the account was closed or its password changed meanwhile."""
        session = self._ids.new()

        async def body(tx: Transaction) -> bool:
            user = await lock_user(tx, user_id, hashed_password=hashed_password, is_active=True)
            if user is None:
                return False
            tx.audit(user_stream(user_id), "session.begun", actor_of(user), {"session": session})
            return await self._insert_session(tx, user_id, session, None)

        return session if await self._store.transaction(body) else None

    async def begin_locked(self, tx: Transaction, user_id: str, session: str, seconds: int) -> str | None:
        """Begin this session for a user whose row the transaction has locked. It lasts `seconds` at most.

        Returns its first refresh token, or None if the session was begun before.
        """
        token = self._random()
        ends_at = await tx.now() + seconds * 1000
        if not await self._insert_session(tx, user_id, session, ends_at):
            return None
        await self._insert_token(tx, self._ids.new(), user_id, session, token, ends_at)
        return token

    async def find_user(self, user_id: str, session: str) -> User | None:
        """Return the user if both the account and this session are active."""

        async def body(reader: Reader) -> User | None:
            first = await reader.get(RefreshToken, id=session)
            if first is None or first.user_id != user_id or first.revoked_at is not None:
                return None
            user = await reader.get(User, id=user_id)
            return user if user is not None and user.is_active else None

        return await self._store.read(body)

    async def issue(self, user_id: str, session: str) -> str:
        """Issue a refresh token for this session and delete unused ones."""
        token, row_id = self._random(), self._ids.new()

        async def body(tx: Transaction) -> bool:
            _, first = await _lock_open_session(tx, user_id, session)
            if first is None:
                return False
            await tx.remove(
                RefreshToken, {"family": session, "used_at": None, "token_sha256": ne(_session_marker(session))}
            )
            await self._insert_token(tx, row_id, user_id, session, token, first.ends_at)
            return True

        if not await self._store.transaction(body):
            raise _session_ended()
        return token

    async def renew(self, token: str) -> RenewedSession:
        """Exchange a refresh token for the next one. Raises `NotAuthenticated` if it can't be used.

        Two tabs of a browser may send the same token: within `REUSE_SECONDS` of its first use, each gets a token of the
        same session. A token that comes back later has been copied, so its session is revoked.
        """
        held = await self._find_token(token)
        fresh, row_id = self._random(), self._ids.new()

        async def body(tx: Transaction) -> User | None:
            user, first = await _lock_open_session(tx, held.user_id, held.family)
            now = await tx.now()
            found = await tx.get(RefreshToken, id=held.id)
            if first is None or found is None or found.expires_at <= now:
                return None
            if found.used_at is None:
                await tx.change(RefreshToken, {"id": held.id, "used_at": None}, used_at=now)
            elif now - found.used_at > REUSE_SECONDS * 1000:
                logger.warning("A refresh token came back", extra={"action": "auth.refresh_reused"})
                await tx.change(RefreshToken, {"id": held.family}, revoked_at=now)
                body: JsonObject = {"session": held.family, "reason": "a used refresh token came back"}
                tx.audit(user_stream(held.user_id), "session.revoked", ENGINE, body)
                return None
            await self._insert_token(tx, row_id, held.user_id, held.family, fresh, first.ends_at)
            return user

        user = await self._store.transaction(body)
        if user is None:
            raise _session_ended()
        return RenewedSession(user, held.family, fresh)

    async def end(self, user_id: str, session: str) -> None:
        """End the session. Idempotent."""

        async def body(tx: Transaction) -> None:
            user = await lock_user(tx, user_id)
            ended = await tx.change(RefreshToken, {"id": session, "revoked_at": None}, revoked_at=await tx.now())
            if user is not None and ended is not None:
                tx.audit(user_stream(user_id), "session.ended", actor_of(user), {"session": session})

        await self._store.transaction(body)

    async def _find_token(self, token: str) -> RefreshToken:
        async def body(reader: Reader) -> list[RefreshToken]:
            return await reader.find(RefreshToken, {"token_sha256": sha256(token)}, limit=1)

        found = await self._store.read(body)
        if not found:
            raise _session_ended()
        return found[0]

    async def _insert_session(self, tx: Transaction, user_id: str, session: str, ends_at: int | None) -> bool:
        now = await tx.now()
        await _delete_expired(tx, user_id, now)
        return await tx.insert(self._row(session, user_id, session, _session_marker(session), now, ends_at))

    async def _insert_token(
        self, tx: Transaction, row_id: str, user_id: str, session: str, token: str, ends_at: int | None
    ) -> None:
        """Insert a token and extend the session's row to the token's expiry, which never exceeds the session's end."""
        now = await tx.now()
        await _delete_expired(tx, user_id, now)
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


async def end_sessions(tx: Transaction, user_id: str, *, keep: str = "") -> None:
    """End all sessions of a user whose row the transaction has locked, except `keep`."""
    others: dict[str, Condition] = {"user_id": user_id, "revoked_at": None, "family": ne(keep)}
    await tx.change_all(RefreshToken, others, revoked_at=await tx.now())


async def _delete_expired(tx: Transaction, user_id: str, now: int) -> None:
    await tx.remove(RefreshToken, {"user_id": user_id, "expires_at": le(now)})


async def lock_user(tx: Transaction, user_id: str, **guard: str | bool) -> User | None:
    """Lock a user's row until the transaction ends, and return it; None unless the guard matches."""
    return await tx.change(User, {"id": user_id, **guard}, created_at=Increment(0))


async def _lock_open_session(tx: Transaction, user_id: str, session: str) -> tuple[User | None, RefreshToken | None]:
    """Lock the user and return it with the session's first row; (None, None) unless both are active."""
    user = await lock_user(tx, user_id, is_active=True)
    first = await tx.get(RefreshToken, id=session)
    over = first is None or first.revoked_at is not None or (first.ends_at or math.inf) <= await tx.now()
    return (None, None) if user is None or over else (user, first)


def _session_marker(session: str) -> str:
    """Return the placeholder that the first row of a session stores instead of a token hash."""
    return f"session:{session}"


def _session_ended() -> NotAuthenticated:
    return NotAuthenticated("This session is over. Sign in again.")
