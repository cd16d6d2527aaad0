"""Accounts as fastapi-users wants them, on the Store port. Passwords are hashed off the event loop."""

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
from src.api.services.sessions import end_sessions
from src.api.services.team import lock_team
from src.api.services.trail import actor_of, fields_of, user_stream

__all__ = ["NO_PASSWORD", "Account", "UserDatabase", "UserManager"]

HASHES_AT_ONCE = 1
"""Each takes 64 MiB and up to four cores for some 50 ms: two at once would only share them, and slow the rest."""

LINK_SECONDS = 3600
"""How long the links in mails work."""

NO_PASSWORD = "!"  # noqa: S105 - the opposite of one
"""What an account has for a hash that no password opens: its owner signs in by an OpenID provider."""

CLOSED = "Registration is closed. Ask an admin for an account."


@dataclass(slots=True)
class Account:
    """A row of users as fastapi-users wants it: an object whose attributes can be set."""

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

    @property
    def has_password(self) -> bool:
        return self.hashed_password != NO_PASSWORD

    @classmethod
    def of(cls, user: User) -> "Account":
        return cls(**{field.name: getattr(user, field.name) for field in fields(cls)})

    def view(self) -> UserView:
        return UserView.model_validate(self, from_attributes=True)

    def caller(self, session: str) -> Caller:
        return Caller(id=self.id, role=Role(self.role), name=self.full_name or self.email, session=session)


class UserDatabase(BaseUserDatabase[Account, str]):
    """fastapi-users' interface to its users. E-mails are compared and kept in lower case."""

    def __init__(self, store: Store, ids: Ids, *, registration_enabled: bool) -> None:
        self._store = store
        self._ids = ids
        self._open = registration_enabled

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

    async def anyone(self) -> bool:
        return bool(await self._store.read(_some_users))

    async def create(self, create_dict: dict[str, Any]) -> Account:
        """The first user becomes the admin: the team's lock lets one decide it at a time.

        Raises `Forbidden` for a later one while registration is closed, `UserAlreadyExists` for a known e-mail.
        """
        user_id = self._ids.new()

        async def body(tx: Transaction) -> User | None:
            await lock_team(tx)
            first = not await _some_users(tx)
            if not first and not self._open:
                raise Forbidden(CLOSED)
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
        self, user: Account, update_dict: dict[str, Any], *, keeping: str | None = None, action: str = "user.changed"
    ) -> Account:
        """With `keeping`, all sessions of this user but that one end in the same transaction.

        Raises `Conflict` if e-mail or password are no longer those of `user`: what was confirmed by them is void. So it
        does where another has settled meanwhile whether the e-mail is proved.
        """
        values: dict[str, Scalar] = dict(update_dict)
        guard = _unchanged(user) | ({"is_verified": user.is_verified} if "is_verified" in values else {})

        async def body(tx: Transaction) -> User | None:
            changed = await tx.change(User, guard, **values)
            if changed is None:
                return None
            if keeping is not None:
                await end_sessions(tx, user.id, but=keeping)
            tx.audit(user_stream(user.id), action, actor_of(changed), {"fields": fields_of(values)})
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
        self._hashing = asyncio.Semaphore(HASHES_AT_ONCE)

    def parse_id(self, value: object) -> str:
        return str(value)

    async def validate_password(self, password: str, user: object) -> None:
        """`user` is the e-mail: all that is known of somebody who has no account yet."""
        email = str(user).lower()
        if password.lower() in (email, email.partition("@")[0]):
            raise InvalidPasswordException("The password must not be the e-mail address.")

    async def hash(self, password: str) -> str:
        async with self._hashing:
            return await asyncio.to_thread(self.password_helper.hash, password)

    async def matches(self, password: str, account: Account | None) -> bool:
        """Takes as long for an account that is not there. Renews a hash made with weaker parameters."""
        if account is None or not account.has_password:
            await self.hash(password)
            return False
        async with self._hashing:
            right, renewed = await asyncio.to_thread(
                self.password_helper.verify_and_update, password, account.hashed_password
            )
        if right and renewed is not None:
            account.hashed_password = (
                await self.user_db.update(account, {"hashed_password": renewed}, action="user.hash_renewed")
            ).hashed_password
        return right

    def reset_token(self, account: Account) -> str:
        """Good for an hour, and until the account gets another password or e-mail."""
        claims = {"sub": account.id, "password_fgpt": self._fingerprint(account)}
        return self._signed(claims, self.reset_password_token_audience)

    async def resetting(self, token: str) -> Account | None:
        """Whose password this token may reset, at this moment."""
        claims = self._claims(token, self.reset_password_token_audience)
        account = await self.user_db.get(str(claims.get("sub", "")))
        if account is None or not account.is_active or not account.has_password:
            return None
        right = hmac.compare_digest(str(claims.get("password_fgpt", "")), self._fingerprint(account))
        return account if right else None

    def verify_token(self, account: Account) -> str:
        """Good for an hour, and until the account gets another e-mail."""
        return self._signed({"sub": account.id, "email": account.email}, self.verification_token_audience)

    async def verifying(self, token: str) -> Account | None:
        """Whose e-mail this token proves, at this moment."""
        claims = self._claims(token, self.verification_token_audience)
        account = await self.user_db.get(str(claims.get("sub", "")))
        return account if account is not None and account.is_active and claims.get("email") == account.email else None

    def _signed(self, claims: dict[str, str], audience: str) -> str:
        return generate_jwt({**claims, "aud": audience}, self._secret, LINK_SECONDS)

    def _claims(self, token: str, audience: str) -> dict[str, Any]:
        try:
            return decode_jwt(token, self._secret, [audience])
        except PyJWTError:
            return {}

    def _fingerprint(self, account: Account) -> str:
        """Keyed, and in the place of the library's, which takes a password hash of the password hash to make."""
        told = f"{account.email}\n{account.hashed_password}"
        return hmac.new(self._secret.encode(), told.encode(), hashlib.sha256).hexdigest()


async def _some_users(reader: Reader) -> list[User]:
    return await reader.find(User, {}, limit=1)


def _unchanged(user: Account) -> dict[str, Condition]:
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
    )
