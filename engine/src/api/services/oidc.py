"""Sign-in by an OpenID provider: who comes in, as whom, in which role. One transaction, under the team's lock."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import SecretStr

from src.api.errors import BadRequest, Conflict, Forbidden
from src.api.ports import IdentityProvider, Ids, Store, Transaction
from src.api.schemas.audit import ENGINE
from src.api.schemas.oidc import Person
from src.api.schemas.records import Identity, RefreshToken, User
from src.api.services.access import Caller, Role
from src.api.services.accounts import Accounts, Refresh, Session
from src.api.services.attempts import Attempts, UnderWay, over
from src.api.services.sessions import Sessions
from src.api.services.signin import Begun, Entered, Returned
from src.api.services.signing import Signing
from src.api.services.team import give_role, lock_team
from src.api.services.trail import actor_of, user_stream
from src.api.services.users import NO_PASSWORD, Account

__all__ = ["Door", "OidcSignIn"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Door:
    """Who is let in, as what, and for how long (seconds). `roles` None: groups don't count."""

    roles: Mapping[str, Role] | None
    default: Role | None
    lasts: int

    def role(self, groups: frozenset[str]) -> Role:
        """The highest that the groups give, else the default. Raises `Forbidden` where there is neither."""
        if self.roles is None:
            return self.default or Role.VIEWER
        given = [role for group, role in self.roles.items() if group in groups]
        if not given and self.default is None:
            raise Forbidden(
                "None of your groups may come in here. Ask an admin to add you to one that OIDC_ROLES names.",
                reason="oidc_no_role",
            )
        return max(given, key=list(Role).index) if given else self.default or Role.VIEWER


class OidcSignIn:
    """`SignIn` by one provider."""

    def __init__(
        self,
        store: Store,
        ids: Ids,
        provider: IdentityProvider,
        accounts: Accounts,
        *,
        attempts: Attempts,
        sessions: Sessions,
        signing: Signing,
        door: Door,
    ) -> None:
        self._store = store
        self._ids = ids
        self._provider = provider
        self._accounts = accounts
        self._attempts = attempts
        self._sessions = sessions
        self._signing = signing
        self._door = door

    async def check(self) -> None:
        await self._provider.check()

    async def begin(self, following: str) -> Begun:
        return await self._sent(self._attempts.new(following))

    async def link(self, caller: Caller, password: SecretStr, following: str) -> Begun:
        await self._accounts.confirm(caller, password)
        return await self._sent(self._attempts.new(following, caller.id, caller.session or ""))

    async def _sent(self, under_way: UnderWay) -> Begun:
        return Begun(await self._provider.address(under_way.attempt), self._attempts.sealed(under_way))

    async def finish(self, cookie: str | None, returned: Returned) -> Entered:
        under_way = self._attempts.opened(cookie, returned.state)
        if returned.code is None:
            raise _denied(returned.error)
        person = await self._provider.redeem(returned.code, returned.issuer, under_way.attempt)
        role = self._door.role(person.groups)
        account, token = await self._entered(under_way, person, role)
        access = self._signing.token(account.id, under_way.session)
        refresh = Refresh(token, min(self._sessions.refresh_seconds, self._door.lasts))
        return Entered(Session(access, self._signing.lifetime, account.view(), refresh), under_way.following)

    async def _entered(self, under_way: UnderWay, person: Person, role: Role) -> tuple[Account, str]:
        """The account and the first refresh token of its session."""
        fresh = Identity(self._ids.new(), self._ids.new(), person.issuer, person.subject, 0)

        async def body(tx: Transaction) -> tuple[User, str]:
            await lock_team(tx)
            user = await self._user(tx, under_way, person, role, fresh)
            if not user.is_active:
                raise Forbidden("This account was closed here. Ask an admin to open it again.", reason="oidc_closed")
            was, user = user, await give_role(tx, user, role if self._door.roles is not None else Role(user.role))
            token = await self._sessions.enter(tx, user.id, under_way.session, self._door.lasts)
            if token is None:
                raise over()
            if was.role != user.role:
                tx.audit("team", "member.changed", ENGINE, {"member_id": user.id, "role": user.role, "was": was.role})
            _note(tx, "session.begun", user, person.issuer, session=under_way.session)
            return user, token

        user, token = await self._store.transaction(body)
        return Account.of(user), token

    async def _user(self, tx: Transaction, under_way: UnderWay, person: Person, role: Role, fresh: Identity) -> User:
        """Whose account this is: known, to be linked, found by its proved e-mail, or new, with the ids of `fresh`."""
        identities = await tx.find(Identity, {"issuer": person.issuer, "subject": person.subject}, limit=1)
        known = await tx.get(User, id=identities[0].user_id) if identities else None
        if under_way.user:
            return await _linked(tx, under_way, known, fresh)
        if known is not None:
            return known
        if person.email is None:
            raise Forbidden(
                "The identity provider told no e-mail address. An admin has to let it send the claim email.",
                reason="oidc_no_email",
            )
        same = await tx.find(User, {"email": person.email}, limit=1)
        if same and not (person.email_verified and same[0].is_verified):
            raise _unproved()
        user = same[0] if same else await _new(tx, fresh.user_id, person, person.email, role)
        await _identify(tx, fresh, user)
        return user


async def _linked(tx: Transaction, under_way: UnderWay, known: User | None, fresh: Identity) -> User:
    session = await tx.get(RefreshToken, id=under_way.linking)
    user = await tx.get(User, id=under_way.user)
    if user is None or session is None or session.user_id != user.id or session.revoked_at is not None:
        raise BadRequest("The session that wanted to link is over. Sign in and begin again.", reason="oidc_state")
    if known is not None and known.id != user.id:
        raise Conflict("This person of the identity provider has another account here.", reason="oidc_linked")
    if known is None:
        await _identify(tx, fresh, user)
    return user


async def _new(tx: Transaction, user_id: str, person: Person, email: str, role: Role) -> User:
    """The first account of all is an admin's, by whichever door it comes."""
    if role is not Role.ADMIN and not await tx.find(User, {}, limit=1):
        raise Forbidden(
            "Nobody is admin here yet. The first to register with a password is, or who is in a group that "
            "OIDC_ROLES makes admin; then everybody else can come in.",
            reason="oidc_first_admin",
        )
    user = User(
        id=user_id,
        email=email,
        hashed_password=NO_PASSWORD,
        full_name=person.name,
        role=role.value,
        is_active=True,
        is_superuser=role is Role.ADMIN,
        is_verified=person.email_verified,
        kubernetes_user=None,
        kubernetes_groups="[]",
        created_at=await tx.now(),
    )
    await tx.insert(user)
    _note(tx, "user.registered", user, person.issuer, email=email, role=user.role)
    return user


async def _identify(tx: Transaction, fresh: Identity, user: User) -> None:
    await tx.insert(Identity(fresh.id, user.id, fresh.issuer, fresh.subject, await tx.now()))
    _note(tx, "identity.linked", user, fresh.issuer)


def _note(tx: Transaction, action: str, user: User, issuer: str, **more: str) -> None:
    tx.audit(user_stream(user.id), action, actor_of(user), {"issuer": issuer, **more})


def _unproved() -> Conflict:
    return Conflict(
        "There is an account with this e-mail, and not both sides have proved that it is yours. Sign in to it with its "
        "password and link it at POST /auth/oidc/link, or ask an admin to mark its e-mail as verified.",
        reason="oidc_link_needed",
    )


def _denied(error: str | None) -> Forbidden | BadRequest:
    logger.info("The provider let somebody go: %r", (error or "")[:64], extra={"action": "oidc.denied"})
    if error == "access_denied":
        return Forbidden("The identity provider did not let you in, or you said no there.", reason="oidc_denied")
    return BadRequest("The identity provider ended this sign-in. Sign in again, or ask an admin.", reason="oidc_denied")
