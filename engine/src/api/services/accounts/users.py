"""Store users for fastapi-users on the `Store` port. Passwords are hashed outside the event loop."""

import asyncio
import hashlib
import hmac
from dataclasses import dataclass, fields
from typing import Any

from fastapi_users import BaseUserManager
from fastapi_users.db import BaseUserDatabase
from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists
from fastapi_users.jwt import decode_jwt, generate_jwt
from jwt import PyJWTError

from src.api.errors import Conflict, Forbidden
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.auth import UserView
from src.api.schemas.query import Condition, Scalar
from src.api.schemas.records import User
from src.api.services.access import Caller, Role
from src.api.services.accounts.former_names import keep_former_names
from src.api.services.accounts.sessions import end_sessions, lock_user
from src.api.services.accounts.team import lock_team
from src.api.services.audit.log import actor_of, fields_of, user_stream

__all__ = ["LINK_SECONDS", "NO_PASSWORD", "Account", "UserDatabase", "UserManager"]

MAX_CONCURRENT_HASHES = 1
"""Each hash takes 64 MiB and up to four cores for about 50 ms, so two at once would slow everything else."""

LINK_SECONDS = 3600
"""Lifetime of e-mailed links."""

NO_PASSWORD = "!"  # noqa: S105 - the opposite of one
"""Stored instead of a password hash for accounts that sign in only with OpenID Connect. It matches no password."""

REGISTRATION_CLOSED = "Registration is closed. Ask an admin for an account."


@dataclass(slots=True)
class Account:
    """A user row as fastapi-users expects it: a mutable object."""

    id: str
    email: str
    hashed_password: str
    full_name: str | None
    role: str
    is_active: bool
    is_superuser: bool
    is_verified: bool
    kubernetes_user: str | None
    kubernetes_groups: str
    created_at: int
    pending_email: str | None

    @property
    def has_password(self) -> bool:
        return self.hashed_password != NO_PASSWORD

    @classmethod
    def of(cls, user: User) -> "Account":
        return cls(**{field.name: getattr(user, field.name) for field in fields(cls)})

    def view(self) -> UserView:
        return UserView.model_validate(self, from_attributes=True)

    def caller(self, session: str, audit_name: str) -> Caller:
        name = self.full_name or self.email
        return Caller(id=self.id, role=Role(self.role), name=name, session=session, audit_name=audit_name)


class UserDatabase(BaseUserDatabase[Account, str]):
    """fastapi-users' database interface. E-mails are stored and compared in lower case."""

    def __init__(self, store: Store, ids: Ids, *, registration_enabled: bool) -> None:
        self._store = store
        self._ids = ids
        self._registration_enabled = registration_enabled

    async def get(self, id: str) -> Account | None:  # noqa: A002 - the library's name
        async def body(reader: Reader) -> User | None:
            return await reader.get(User, id=id)

        user = await self._store.read(body)
        return None if user is None else Account.of(user)

    async def get_by_email(self, email: str) -> Account | None:
        async def body(reader: Reader) -> list[User]:
            return await reader.find(User, {"email": email.lower()}, limit=1)

        found = await self._store.read(body)
        return Account.of(found[0]) if found else None

    async def has_users(self) -> bool:
        return bool(await self._store.read(_any_user))

    async def create(self, create_dict: dict[str, Any]) -> Account:
        """Create a user; the first one becomes the admin. The team's lock serializes this decision.

        Raises `Forbidden` for later users while registration is closed, and `UserAlreadyExists` for a known e-mail.
        """
        user_id = self._ids.new()

        async def body(tx: Transaction) -> User | None:
            await lock_team(tx)
            first = not await _any_user(tx)
            if not first and not self._registration_enabled:
                raise Forbidden(REGISTRATION_CLOSED)
            user = _new_user(user_id, create_dict, Role.ADMIN if first else Role.VIEWER, await tx.now())
            if not await tx.insert(user):
                return None
            tx.audit(user_stream(user.id), "user.registered", actor_of(user), {"email": user.email, "role": user.role})
            return user

        made = await self._store.transaction(body)
        if made is None:
            raise UserAlreadyExists
        return Account.of(made)

    async def update(
        self,
        user: Account,
        update_dict: dict[str, Any],
        *,
        keep_session: str | None = None,
        action: str = "user.changed",
    ) -> Account:
        """Update a user. With `keep_session`, end all other sessions of the user in the same transaction.

        Raises `Conflict` if the e-mail or the password changed since `user` was read, since the caller was confirmed by
        them; also if the update verifies the e-mail and another request has changed that flag.
        """
        values: dict[str, Scalar] = dict(update_dict)
        guard = _unchanged_guard(user) | ({"is_verified": user.is_verified} if "is_verified" in values else {})

        async def body(tx: Transaction) -> User | None:
            before = await lock_user(tx, user.id)
            changed = await tx.change(User, guard, **values)
            if before is None or changed is None:
                return None
            await keep_former_names(tx, before, changed, await tx.now())
            if keep_session is not None:
                await end_sessions(tx, user.id, keep=keep_session)
            differing = {name: value for name, value in values.items() if getattr(before, name) != value}
            tx.audit(user_stream(user.id), action, actor_of(changed), {"fields": fields_of(differing)})
            return changed

        changed = await self._store.transaction(body)
        if changed is None:
            raise Conflict("This account has been changed by another request in the meantime. Sign in again.")
        return Account.of(changed)


class UserManager(BaseUserManager[Account, str]):
    """The library's manager with every hash computed in a thread, a bounded number at once."""

    user_db: UserDatabase

    def __init__(self, users: UserDatabase, secret: str) -> None:
        super().__init__(users)
        self._secret = self.reset_password_token_secret = self.verification_token_secret = secret
        self._hashing = asyncio.Semaphore(MAX_CONCURRENT_HASHES)

    def parse_id(self, value: object) -> str:
        return str(value)

    async def validate_password(self, password: str, user: object) -> None:
        """Reject weak passwords. `user` is the e-mail, the only thing known before registration."""
        email = str(user).lower()
        if password.lower() in (email, email.partition("@")[0]):
            raise InvalidPasswordException("The password must not be the e-mail address.")

    async def hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self.password_helper.hash, password)

    async def verify_password(self, password: str, account: Account | None) -> bool:
        """Verify a password. Takes equally long if the account does not exist. Rehashes with current parameters if
        needed.
        """
        if account is None or not account.has_password:
            await self.hash(password)
            return False
        async with self._hashing:
            is_correct, new_hash = await asyncio.to_thread(
                self.password_helper.verify_and_update, password, account.hashed_password
            )
        if is_correct and new_hash is not None:
            account.hashed_password = (
                await self.user_db.update(account, {"hashed_password": new_hash}, action="user.hash_renewed")
            ).hashed_password
        return is_correct

    def reset_token(self, account: Account, *, sets_first_password: bool = False) -> str:
        """Return a reset token, valid for an hour and until the account's password or e-mail changes.

        With `sets_first_password` it also works for an account without a password.
        """
        claims = {"sub": account.id, "password_fgpt": self._fingerprint(account)}
        if sets_first_password:
            claims["first"] = "yes"
        return self._sign(claims, self.reset_password_token_audience)

    async def account_for_reset(self, token: str) -> Account | None:
        """Return the account whose password this token may reset now."""
        claims = self._verified_claims(token, self.reset_password_token_audience)
        account = await self.user_db.get(str(claims.get("sub", "")))
        if account is None or not account.is_active or not (account.has_password or "first" in claims):
            return None
        is_correct = hmac.compare_digest(str(claims.get("password_fgpt", "")), self._fingerprint(account))
        return account if is_correct else None

    def verify_token(self, account: Account, email: str) -> str:
        """Return a token that verifies this e-mail, valid for an hour while it is the account's, or its pending one."""
        return self._sign({"sub": account.id, "email": email}, self.verification_token_audience)

    async def account_for_verification(self, token: str) -> tuple[Account, str] | None:
        """Return the account and the e-mail that this token verifies now."""
        claims = self._verified_claims(token, self.verification_token_audience)
        account, email = await self.user_db.get(str(claims.get("sub", ""))), str(claims.get("email", ""))
        if account is None or not account.is_active or email not in (account.email, account.pending_email):
            return None
        return account, email

    def _sign(self, claims: dict[str, str], audience: str) -> str:
        return generate_jwt({**claims, "aud": audience}, self._secret, LINK_SECONDS)

    def _verified_claims(self, token: str, audience: str) -> dict[str, Any]:
        try:
            return decode_jwt(token, self._secret, [audience])
        except PyJWTError:
            return {}

    def _fingerprint(self, account: Account) -> str:
        """Return a keyed fingerprint of the credentials. The library's own would cost another password hash."""
        content = f"{account.email}\n{account.hashed_password}"
        return hmac.new(self._secret.encode(), content.encode(), hashlib.sha256).hexdigest()


async def _any_user(reader: Reader) -> list[User]:
    return await reader.find(User, {}, limit=1)


def _unchanged_guard(user: Account) -> dict[str, Condition]:
    return {"id": user.id, "email": user.email, "hashed_password": user.hashed_password, "is_active": True}


def _new_user(user_id: str, values: dict[str, Any], role: Role, now: int) -> User:
    return User(
        id=user_id,
        email=values["email"],
        hashed_password=values["hashed_password"],
        full_name=values.get("full_name"),
        role=role.value,
        is_active=True,
        is_superuser=role is Role.ADMIN,
        is_verified=False,
        kubernetes_user=None,
        kubernetes_groups="[]",
        created_at=now,
        pending_email=None,
    )
