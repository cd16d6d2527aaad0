"""Manage API tokens. A machine with a token acts as its owner within the token's scopes and never approves."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from src.api.errors import Conflict, Forbidden, NotAuthenticated, NotFound
from src.api.ports import Clock, Ids, Reader, Store, Transaction
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Increment, le
from src.api.schemas.records import ApiToken, User
from src.api.schemas.tokens import Scope, TokenCreate, TokenCreated, TokenList, TokenView
from src.api.services.access import Caller, Role
from src.api.services.audit.log import user_stream
from src.api.utils.canonical import sha256
from src.api.utils.times import DAY_MS

__all__ = ["MAX_TOKENS_PER_USER", "PREFIX", "ApiTokens", "end_tokens"]

PREFIX = "sky_"
MAX_TOKENS_PER_USER = 20
"""Tokens per user."""


def _random() -> str:
    return secrets.token_urlsafe(32)


@dataclass(slots=True)
class ApiTokens:
    """Create, list and revoke API tokens. The database stores only their SHA-256.

    All methods except `caller` raise `Forbidden` for machines: only people manage tokens.
    """

    store: Store
    ids: Ids
    clock: Clock
    random: Callable[[], str] = _random

    async def caller(self, token: str) -> Caller:
        """Return the caller of a token, with the role that its owner has now. Raises `NotAuthenticated`."""
        digest = sha256(token)

        async def body(reader: Reader) -> tuple[ApiToken, User] | None:
            found = await reader.find(ApiToken, {"token_sha256": digest}, limit=1)
            user = await reader.get(User, id=found[0].user_id) if found else None
            return (found[0], user) if user is not None else None

        found = await self.store.read(body)
        if found is None or not found[1].is_active or found[0].expires_at <= self.clock.now():
            raise NotAuthenticated("This token is unknown, revoked or expired. Create a new one at /auth/tokens.")
        row, owner = found
        return Caller(
            owner.id, Role(owner.role), row.name, machine=True, token=row.id, scopes=frozenset(row.scopes.split(","))
        )

    async def list(self, caller: Caller, user_id: str | None) -> TokenList:
        """List a user's tokens, newest first. Only admins may list tokens of others."""
        owner = _require_owner_rights(caller, user_id)

        async def body(reader: Reader) -> list[ApiToken]:
            return await reader.find(ApiToken, {"user_id": owner}, "-created_at,-id", MAX_TOKENS_PER_USER)

        return TokenList(data=[_view(row) for row in await self.store.read(body)])

    async def add(self, caller: Caller, request: TokenCreate) -> TokenCreated:
        """Create a token for the caller and delete the caller's expired ones.

        Raises `Conflict` above `MAX_TOKENS_PER_USER`.
        """
        owner, token_id, token = _require_owner_rights(caller, None), self.ids.new(), PREFIX + self.random()

        async def body(tx: Transaction) -> ApiToken:
            if await tx.change(User, {"id": owner, "is_active": True}, created_at=Increment(0)) is None:
                raise Forbidden("Only people with an account have tokens. Register one and sign in with it.")
            now = await tx.now()
            await tx.remove(ApiToken, {"user_id": owner, "expires_at": le(now)})
            if len(await tx.find(ApiToken, {"user_id": owner}, limit=MAX_TOKENS_PER_USER)) >= MAX_TOKENS_PER_USER:
                raise Conflict(f"There are {MAX_TOKENS_PER_USER} tokens already. Revoke one first.")
            row = _new_token(token_id, owner, token, request, now)
            await tx.insert(row)
            tx.audit(user_stream(owner), "token.made", caller.actor, _audit_body(row))
            return row

        created = await self.store.transaction(body)
        return TokenCreated(**_view(created).model_dump(), token=token)

    async def revoke(self, caller: Caller, token_id: str, user_id: str | None) -> None:
        """Revoke a token. Only admins may revoke tokens of others. Raises `NotFound`."""
        owner = _require_owner_rights(caller, user_id)

        async def body(tx: Transaction) -> bool:
            await tx.change(User, {"id": owner}, created_at=Increment(0))
            row = await tx.get(ApiToken, id=token_id)
            if row is None or row.user_id != owner:
                return False
            await tx.remove(ApiToken, {"id": token_id})
            tx.audit(user_stream(owner), "token.revoked", caller.actor, _audit_body(row))
            return True

        if not await self.store.transaction(body):
            raise NotFound("There is no such token.")


async def end_tokens(tx: Transaction, user_id: str) -> None:
    """Delete all tokens of a user whose row the transaction has locked."""
    await tx.remove(ApiToken, {"user_id": user_id})


def _require_owner_rights(caller: Caller, user_id: str | None) -> str:
    if caller.machine:
        raise Forbidden("API tokens can't manage tokens. Sign in as a user.")
    if user_id is not None and user_id != caller.id and caller.role is not Role.ADMIN:
        raise Forbidden("Only admins can see and revoke tokens of other users. Ask one of them.")
    return user_id or caller.id


def _new_token(token_id: str, owner: str, token: str, request: TokenCreate, now: int) -> ApiToken:
    scopes: set[Scope] = {*request.scopes, "read"}
    return ApiToken(
        id=token_id,
        user_id=owner,
        name=request.name,
        scopes=",".join(sorted(scopes)),
        token_sha256=sha256(token),
        expires_at=now + request.expires_in_days * DAY_MS,
        created_at=now,
    )


def _audit_body(row: ApiToken) -> JsonObject:
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
