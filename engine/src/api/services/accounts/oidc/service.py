"""Sign users in with OpenID Connect: find or create the account, set its role, begin a session.

Each sign-in is one transaction under the team's lock.
"""

import logging
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass

from pydantic import SecretStr

from src.api.errors import BadRequest, Conflict, Forbidden
from src.api.ports import IdentityProvider, Ids, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.oidc import IdentityClaims
from src.api.schemas.records import Identity, RefreshToken, User
from src.api.services.access import Caller, Role
from src.api.services.accounts.access_tokens import AccessTokens
from src.api.services.accounts.accounts import Accounts, NewRefreshToken, Session
from src.api.services.accounts.api_tokens import end_tokens
from src.api.services.accounts.former_names import keep_former_names
from src.api.services.accounts.oidc.attempts import PendingSignIn, SignInAttempts, attempt_expired
from src.api.services.accounts.oidc.sign_in import SignInCallback, SignInResult, SignInStarted
from src.api.services.accounts.sessions import Sessions, end_sessions, lock_user
from src.api.services.accounts.team import assign_role, lock_team
from src.api.services.accounts.users import NO_PASSWORD, Account
from src.api.services.audit.log import actor_of, user_stream

__all__ = ["OidcSignIn", "SignInRules"]

logger = logging.getLogger(__name__)

RELEASED = "released.invalid"
"""Domain of the e-mail of an account that had one which another person proved."""


@dataclass(frozen=True, slots=True)
class SignInRules:
    """Which groups may sign in, with which role, and for how long. With `roles` None, groups are ignored."""

    roles: Mapping[str, Role] | None
    default_role: Role | None
    session_seconds: int

    def role(self, groups: frozenset[str]) -> Role:
        """Return the highest role that the groups grant, else the default. Raises `Forbidden` if there is none."""
        if self.roles is None:
            return self.default_role or Role.VIEWER
        given = [role for group, role in self.roles.items() if group in groups]
        if not given and self.default_role is None:
            raise Forbidden(
                "None of your groups may sign in here. Ask an admin to add you to one that OIDC_ROLES names.",
                reason="oidc_no_role",
            )
        return max(given, key=list(Role).index) if given else self.default_role or Role.VIEWER


@dataclass(slots=True)
class OidcSignIn:
    """Implement `SignIn` with one provider."""

    store: Store
    ids: Ids
    provider: IdentityProvider
    accounts: Accounts
    _: KW_ONLY
    attempts: SignInAttempts
    sessions: Sessions
    signing: AccessTokens
    rules: SignInRules

    async def check(self) -> None:
        await self.provider.check()

    async def begin(self, next_path: str) -> SignInStarted:
        return await self._start(self.attempts.new(next_path))

    async def link(self, caller: Caller, password: SecretStr, next_path: str) -> SignInStarted:
        await self.accounts.confirm_password(caller, password)
        return await self._start(self.attempts.new(next_path, caller.id, caller.session or ""))

    async def _start(self, pending: PendingSignIn) -> SignInStarted:
        return SignInStarted(
            await self.provider.authorization_url(pending.sign_in_secrets), self.attempts.encode(pending)
        )

    async def finish(self, cookie: str | None, returned: SignInCallback) -> SignInResult:
        pending = self.attempts.decode(cookie, returned.state)
        if returned.code is None:
            raise _provider_error(returned.error)
        claims = await self.provider.redeem(returned.code, returned.issuer, pending.sign_in_secrets)
        role = self.rules.role(claims.groups)
        account, token = await self._begin_session(pending, claims, role)
        access = self.signing.token(account.id, pending.session)
        refresh = NewRefreshToken(token, min(self.sessions.refresh_seconds, self.rules.session_seconds))
        return SignInResult(Session(access, self.signing.lifetime, account.view(), refresh), pending.next_path)

    async def _begin_session(self, pending: PendingSignIn, claims: IdentityClaims, role: Role) -> tuple[Account, str]:
        """Return the account and the first refresh token of its session."""
        new_identity = Identity(self.ids.new(), self.ids.new(), claims.issuer, claims.subject, 0)

        async def body(tx: Transaction) -> tuple[User, str]:
            await lock_team(tx)
            user = await self._resolve_user(tx, pending, claims, role, new_identity)
            if not user.is_active:
                raise Forbidden("This account was closed here. Ask an admin to open it again.", reason="oidc_closed")
            was, user = user, await assign_role(tx, user, role if self.rules.roles is not None else Role(user.role))
            token = await self.sessions.begin_locked(tx, user.id, pending.session, self.rules.session_seconds)
            if token is None:
                raise attempt_expired()
            if was.role != user.role:
                tx.audit("team", "member.changed", ENGINE, {"member_id": user.id, "role": user.role, "was": was.role})
            _audit(tx, "session.begun", user, claims.issuer, session=pending.session)
            return user, token

        user, token = await self.store.transaction(body)
        return Account.of(user), token

    async def _resolve_user(
        self, tx: Transaction, pending: PendingSignIn, claims: IdentityClaims, role: Role, new_identity: Identity
    ) -> User:
        """Find the account by its identity, link it, match it by an e-mail that the provider verified, or create it."""
        identities = await tx.find(Identity, {"issuer": claims.issuer, "subject": claims.subject}, limit=1)
        known = await tx.get(User, id=identities[0].user_id) if identities else None
        if pending.user:
            return await _link_account(tx, pending, known, new_identity)
        if known is not None:
            return known
        if claims.email is None:
            raise Forbidden(
                "The identity provider sent no e-mail address. Ask an admin to make it send the claim email.",
                reason="oidc_no_email",
            )
        same = await tx.find(User, {"email": claims.email}, limit=1)
        if same and not claims.email_verified:
            raise _link_needed()
        owner = await _owned_account(tx, same[0], claims.issuer) if same else None
        user = owner or await _create_user(tx, new_identity.user_id, claims, claims.email, role)
        await _add_identity(tx, new_identity, user)
        return user


async def _owned_account(tx: Transaction, user: User, issuer: str) -> User | None:
    """Return the account as that of the person who proved its e-mail; None if that person needs a new account.

    An e-mail that was never proved keeps no other person out. An account that is linked to another person loses
    the e-mail. Any other becomes the owner's, and the person who registered it loses password, sessions and tokens.
    """
    held = await lock_user(tx, user.id)
    if held is None or held.is_verified or not held.is_active:
        return held
    if await tx.find(Identity, {"user_id": held.id}, limit=1):
        released = await tx.change(User, {"id": held.id}, email=f"{held.id}@{RELEASED}")
        await keep_former_names(tx, held, released or held, await tx.now())
        tx.audit(user_stream(held.id), "user.email_released", ENGINE, {"issuer": issuer, "email": held.email})
        return None
    owned = await tx.change(User, {"id": held.id}, hashed_password=NO_PASSWORD, is_verified=True, pending_email=None)
    await end_sessions(tx, held.id)
    await end_tokens(tx, held.id)
    tx.audit(user_stream(held.id), "user.claimed", ENGINE, {"issuer": issuer, "email": held.email})
    return owned


async def _link_account(tx: Transaction, pending: PendingSignIn, known: User | None, new_identity: Identity) -> User:
    session = await tx.get(RefreshToken, id=pending.linking_session)
    user = await tx.get(User, id=pending.user)
    if user is None or session is None or session.user_id != user.id or session.revoked_at is not None:
        raise BadRequest("The session that wanted to link is over. Sign in and begin again.", reason="oidc_state")
    if known is not None and known.id != user.id:
        raise Conflict("This person of the identity provider has another account here.", reason="oidc_linked")
    if known is None:
        await _add_identity(tx, new_identity, user)
    return user


async def _create_user(tx: Transaction, user_id: str, claims: IdentityClaims, email: str, role: Role) -> User:
    """Create an account. The very first account must be an admin's, as with registration."""
    if role is not Role.ADMIN and not await tx.find(User, {}, limit=1):
        raise Forbidden(
            "There is no admin yet. Register the first account with a password, or sign in as a user whose group "
            "OIDC_ROLES makes admin.",
            reason="oidc_first_admin",
        )
    user = User(
        id=user_id,
        email=email,
        hashed_password=NO_PASSWORD,
        full_name=claims.name,
        role=role.value,
        is_active=True,
        is_superuser=role is Role.ADMIN,
        is_verified=claims.email_verified,
        kubernetes_user=None,
        kubernetes_groups="[]",
        created_at=await tx.now(),
        pending_email=None,
    )
    await tx.insert(user)
    _audit(tx, "user.registered", user, claims.issuer, email=email, role=user.role)
    return user


async def _add_identity(tx: Transaction, new_identity: Identity, user: User) -> None:
    await tx.insert(Identity(new_identity.id, user.id, new_identity.issuer, new_identity.subject, await tx.now()))
    _audit(tx, "identity.linked", user, new_identity.issuer)


def _audit(tx: Transaction, action: str, user: User, issuer: str, **more: str) -> None:
    tx.audit(user_stream(user.id), action, actor_of(user), {"issuer": issuer, **more})


def _link_needed() -> Conflict:
    return Conflict(
        "There is an account with this e-mail, and the identity provider has not verified that it is yours. Sign in to "
        "the account with its password and link it at POST /auth/oidc/link, or verify the e-mail at the provider.",
        reason="oidc_link_needed",
    )


def _provider_error(error: str | None) -> Forbidden | BadRequest:
    logger.info("The identity provider rejected a sign-in: %r", (error or "")[:64], extra={"action": "oidc.denied"})
    if error == "access_denied":
        return Forbidden("The identity provider denied the sign-in, or you cancelled it.", reason="oidc_denied")
    return BadRequest("The identity provider ended this sign-in. Sign in again, or ask an admin.", reason="oidc_denied")
