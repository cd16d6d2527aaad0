"""Accounts and sessions by fastapi-users: the use cases."""

from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists
from pydantic import SecretStr

from src.api.errors import BadRequest, Conflict, Forbidden, NotAuthenticated
from src.api.ports import Ids, Store
from src.api.schemas.auth import PasswordChange, PasswordReset, ProfileChange, Registration, UserView
from src.api.schemas.query import Scalar
from src.api.services.access import Caller
from src.api.services.accounts import LOCAL_ADMIN, Refresh, Session
from src.api.services.failures import FailedLogins
from src.api.services.mailing import Link, Mailing
from src.api.services.sessions import Sessions
from src.api.services.signing import Signing
from src.api.services.users import CLOSED, Account, UserDatabase, UserManager

__all__ = ["Auth"]

_UNFIT = "UPDATE_USER_INVALID_PASSWORD"


class Auth:
    """`Accounts` by fastapi-users. Made inside the event loop."""

    def __init__(
        self,
        store: Store,
        ids: Ids,
        *,
        signing: Signing,
        mailing: Mailing,
        failed: FailedLogins,
        refresh_days: int,
        registration_enabled: bool,
    ) -> None:
        self._users = UserDatabase(store, ids, registration_enabled=registration_enabled)
        self._manager = UserManager(self._users, signing.secret)
        self._sessions = Sessions(store, ids, refresh_days)
        self._signing = signing
        self._mailing = mailing
        self._failed = failed
        self._registration_enabled = registration_enabled

    async def caller(self, token: str) -> Caller:
        named = self._signing.read(token)
        user = await self._sessions.holder(*named) if named else None
        if named is None or user is None:
            raise NotAuthenticated("Your session is over or the token is not valid. Sign in again.")
        return Account.of(user).caller(named[1])

    async def login(self, email: str, password: str) -> Session:
        account = await self._users.get_by_email(email)
        right = await self._manager.matches(password, account)
        session = None
        if account is not None and right:
            session = await self._sessions.begin(account.id, account.hashed_password)
        if account is not None and not right:
            self._failed.note(account.id)
        if account is None or session is None:
            raise BadRequest("E-mail or password is wrong.", reason="LOGIN_BAD_CREDENTIALS")
        return self._session(account, session)

    async def issue(self, caller: Caller) -> Refresh:
        token = await self._sessions.issue(caller.id, _session_of(caller))
        return Refresh(token, self._sessions.refresh_seconds)

    async def refresh(self, token: str) -> Session:
        renewed = await self._sessions.renew(token)
        refresh = Refresh(renewed.token, self._sessions.refresh_seconds)
        return self._session(Account.of(renewed.user), renewed.session, refresh)

    async def logout(self, caller: Caller) -> None:
        if caller.session is not None:
            await self._sessions.end(caller.id, caller.session)

    def _session(self, account: Account, session: str, refresh: Refresh | None = None) -> Session:
        token = self._signing.token(account.id, session)
        return Session(token, self._signing.lifetime, account.view(), refresh)

    async def register(self, wanted: Registration) -> UserView:
        if not self._registration_enabled and await self._users.anyone():
            raise Forbidden(CLOSED)
        password = await self.hashed(wanted.email, wanted.password)
        try:
            made = await self._users.create(
                {"email": wanted.email.lower(), "full_name": wanted.full_name, "hashed_password": password}
            )
        except UserAlreadyExists as error:
            raise _taken("REGISTER_USER_ALREADY_EXISTS") from error
        return made.view()

    async def hashed(self, email: str, password: SecretStr, reason: str = "REGISTER_INVALID_PASSWORD") -> str:
        try:
            await self._manager.validate_password(password.get_secret_value(), email)
        except InvalidPasswordException as error:
            raise BadRequest(str(error.reason), reason=reason) from error
        return await self._manager.hash(password.get_secret_value())

    async def forgot(self, email: str) -> None:
        async def link() -> Link | None:
            account = await self._users.get_by_email(email)
            if account is None or not account.is_active or not account.has_password:
                return None
            return Link(account.email, "reset", self._manager.reset_token(account))

        self._mailing.later(link)

    async def reset(self, wanted: PasswordReset) -> None:
        account = await self._manager.resetting(wanted.token)
        if account is None:
            raise _bad_link("RESET_PASSWORD_BAD_TOKEN")
        hashed = await self.hashed(account.email, wanted.password, "RESET_PASSWORD_INVALID_PASSWORD")
        try:
            await self._users.update(account, {"hashed_password": hashed}, keeping="", action="user.password_reset")
        except Conflict as error:
            raise _bad_link("RESET_PASSWORD_BAD_TOKEN") from error

    async def ask_to_verify(self, email: str) -> None:
        async def link() -> Link | None:
            account = await self._users.get_by_email(email)
            if account is None or not account.is_active or account.is_verified:
                return None
            return Link(account.email, "verify", self._manager.verify_token(account))

        self._mailing.later(link)

    async def verify(self, token: str) -> UserView:
        account = await self._manager.verifying(token)
        if account is None:
            raise _bad_link("VERIFY_USER_BAD_TOKEN")
        if account.is_verified:
            raise BadRequest("This e-mail is verified already.", reason="VERIFY_USER_ALREADY_VERIFIED")
        try:
            return (await self._users.update(account, {"is_verified": True})).view()
        except Conflict as error:
            raise _bad_link("VERIFY_USER_BAD_TOKEN") from error

    async def nobody_yet(self) -> bool:
        return not await self._users.anyone()

    async def me(self, caller: Caller) -> UserView:
        return _LOCAL_VIEW if caller == LOCAL_ADMIN else (await self._account(caller)).view()

    async def change_me(self, caller: Caller, wanted: ProfileChange) -> UserView:
        account, values = await self._own(caller), dict[str, Scalar]()
        if wanted.full_name is not None:
            values["full_name"] = wanted.full_name
        if wanted.email is not None and wanted.email.lower() != account.email:
            values |= {"email": wanted.email.lower(), "is_verified": False}
        if wanted.email is not None or wanted.password is not None:
            await self._confirm(account, wanted.current_password)
        if wanted.password is not None:
            email = str(values.get("email", account.email))
            values["hashed_password"] = await self.hashed(email, wanted.password, _UNFIT)
        return await self._changed(caller, account, values)

    async def change_password(self, caller: Caller, wanted: PasswordChange) -> UserView:
        account = await self._own(caller)
        await self._confirm(account, wanted.current_password)
        hashed = await self.hashed(account.email, wanted.new_password, _UNFIT)
        return await self._changed(caller, account, {"hashed_password": hashed})

    async def confirm(self, caller: Caller, password: SecretStr) -> None:
        await self._confirm(await self._own(caller), password)

    async def _changed(self, caller: Caller, account: Account, values: dict[str, Scalar]) -> UserView:
        if not values:
            return account.view()
        email = values.get("email")
        if isinstance(email, str) and await self._users.get_by_email(email) is not None:
            raise _taken("UPDATE_USER_EMAIL_ALREADY_EXISTS")
        keeping = (caller.session or "") if "hashed_password" in values else None
        return (await self._users.update(account, values, keeping=keeping)).view()

    async def _confirm(self, account: Account, given: SecretStr | None) -> None:
        if not account.has_password:
            raise BadRequest("This account has no password: you sign in by the identity provider. Ask an admin.")
        if not await self._manager.matches(given.get_secret_value() if given else "", account):
            raise BadRequest("For this, send your current password in current_password.")

    async def _account(self, caller: Caller) -> Account:
        account = await self._users.get(caller.id)
        if account is None:
            raise NotAuthenticated("This account is no longer there.")
        return account

    async def _own(self, caller: Caller) -> Account:
        """The account that a person wants to change."""
        if caller == LOCAL_ADMIN:
            raise Forbidden("The local admin has no account to change. Register one and sign in with it.")
        if caller.machine:
            raise Forbidden("A machine's token changes no account. Sign in as a person.")
        return await self._account(caller)


def _session_of(caller: Caller) -> str:
    if caller.session is None:
        raise Forbidden("Only a person who has signed in has a session to refresh.")
    return caller.session


def _taken(reason: str) -> BadRequest:
    return BadRequest("There is an account with this e-mail already.", reason=reason)


def _bad_link(reason: str) -> BadRequest:
    return BadRequest("This link was used, is over, or is not one of ours. Ask for a new one.", reason=reason)


_LOCAL_VIEW = UserView(
    id=LOCAL_ADMIN.id,
    email="local@localhost",
    full_name="Local admin",
    is_active=True,
    is_superuser=True,
    is_verified=True,
    role=LOCAL_ADMIN.role.value,
    created_at=0,
)
