"""API tokens: a machine acts as the person who made the token, within its scopes, and never decides."""

import secrets
from collections.abc import Callable

from src.api.errors import Conflict, Forbidden, NotAuthenticated, NotFound
from src.api.ports import Clock, Ids, Reader, Store, Transaction
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Plus, at_most
from src.api.schemas.records import ApiToken, User
from src.api.schemas.tokens import Scope, TokenList, TokenMade, TokenView, TokenWanted
from src.api.services.access import Caller, Role
from src.api.services.trail import user_stream
from src.api.utils.canonical import sha256

__all__ = ["MOST_TOKENS", "PREFIX", "Tokens", "end_tokens"]

PREFIX = "sky_"
MOST_TOKENS = 20
"""Of one person."""

_DAY_MS = 86_400_000


def _random() -> str:
    return secrets.token_urlsafe(32)


class Tokens:
    """Kept as SHA-256 only. Managed by people alone: each call but the first raises `Forbidden` for a machine."""

    def __init__(self, store: Store, ids: Ids, clock: Clock, random: Callable[[], str] = _random) -> None:
        self._store = store
        self._ids = ids
        self._clock = clock
        self._random = random

    async def caller(self, token: str) -> Caller:
        """Whom a token acts as, in the role that its owner has now. Raises `NotAuthenticated`."""
        digest = sha256(token)

        async def body(reader: Reader) -> tuple[ApiToken, User] | None:
            found = await reader.find(ApiToken, {"token_sha256": digest}, limit=1)
            user = await reader.get(User, id=found[0].user_id) if found else None
            return (found[0], user) if user is not None else None

        found = await self._store.read(body)
        if found is None or not found[1].is_active or found[0].expires_at <= self._clock.now():
            raise NotAuthenticated("This token is unknown, revoked or over. Make a new one at /auth/tokens.")
        row, owner = found
        return Caller(
            owner.id, Role(owner.role), row.name, machine=True, token=row.id, scopes=frozenset(row.scopes.split(","))
        )

    async def list(self, caller: Caller, user_id: str | None) -> TokenList:
        """One's own; for admins anybody's. The newest comes first."""
        owner = _owner(caller, user_id)

        async def body(reader: Reader) -> list[ApiToken]:
            return await reader.find(ApiToken, {"user_id": owner}, "-created_at,-id", MOST_TOKENS)

        return TokenList(data=[_view(row) for row in await self._store.read(body)])

    async def add(self, caller: Caller, wanted: TokenWanted) -> TokenMade:
        """A token of one's own. What is over is forgotten then. Raises `Conflict` above `MOST_TOKENS`."""
        owner, token_id, token = _owner(caller, None), self._ids.new(), PREFIX + self._random()

        async def body(tx: Transaction) -> ApiToken:
            if await tx.change(User, {"id": owner, "is_active": True}, created_at=Plus(0)) is None:
                raise Forbidden("Only people with an account have tokens. Register one and sign in with it.")
            now = await tx.now()
            await tx.remove(ApiToken, {"user_id": owner, "expires_at": at_most(now)})
            if len(await tx.find(ApiToken, {"user_id": owner}, limit=MOST_TOKENS)) >= MOST_TOKENS:
                raise Conflict(f"There are {MOST_TOKENS} tokens already. Revoke one first.")
            row = _row(token_id, owner, token, wanted, now)
            await tx.insert(row)
            tx.audit(user_stream(owner), "token.made", caller.actor, _told(row))
            return row

        made = await self._store.transaction(body)
        return TokenMade(**_view(made).model_dump(), token=token)

    async def revoke(self, caller: Caller, token_id: str, user_id: str | None) -> None:
        """One's own; for admins anybody's. Raises `NotFound`."""
        owner = _owner(caller, user_id)

        async def body(tx: Transaction) -> bool:
            await tx.change(User, {"id": owner}, created_at=Plus(0))
            row = await tx.get(ApiToken, id=token_id)
            if row is None or row.user_id != owner:
                return False
            await tx.remove(ApiToken, {"id": token_id})
            tx.audit(user_stream(owner), "token.revoked", caller.actor, _told(row))
            return True

        if not await self._store.transaction(body):
            raise NotFound("There is no such token.")


async def end_tokens(tx: Transaction, user_id: str) -> None:
    """Ends all tokens of a user, whose row the transaction has locked."""
    await tx.remove(ApiToken, {"user_id": user_id})


def _owner(caller: Caller, user_id: str | None) -> str:
    if caller.machine:
        raise Forbidden("A machine's token manages no tokens. Sign in as a person.")
    if user_id is not None and user_id != caller.id and caller.role is not Role.ADMIN:
        raise Forbidden("Only admins see and revoke the tokens of others. Ask one of them.")
    return user_id or caller.id


def _row(token_id: str, owner: str, token: str, wanted: TokenWanted, now: int) -> ApiToken:
    scopes: set[Scope] = {*wanted.scopes, "read"}
    return ApiToken(
        id=token_id,
        user_id=owner,
        name=wanted.name,
        scopes=",".join(sorted(scopes)),
        token_sha256=sha256(token),
        expires_at=now + wanted.expires_in_days * _DAY_MS,
        created_at=now,
    )


def _told(row: ApiToken) -> JsonObject:
    return {"token_id": row.id, "name": row.name, "scopes": row.scopes, "expires_at": row.expires_at}


def _view(row: ApiToken) -> TokenView:
    return TokenView.model_validate(
        {
            "id": row.id,
            "user_id": row.user_id,
            "name": row.name,
            "scopes": row.scopes.split(","),
            "created_at": row.created_at,
            "expires_at": row.expires_at,
        }
    )
