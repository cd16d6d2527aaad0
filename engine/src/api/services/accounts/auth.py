"""Accounts and sessions built on fastapi-users."""

from fastapi_users.exceptions import InvalidPasswordException, UserAlreadyExists
from pydantic import SecretStr

from src.api.errors import BadRequest, Conflict, Forbidden, NotAuthenticated, NotFound
from src.api.ports import Ids, Store
from src.api.schemas.auth import PasswordChange, PasswordReset, ProfileChange, Registration, ResetLink, UserView
from src.api.schemas.query import Scalar
from src.api.services.access import Caller, audit_name
from src.api.services.accounts.access_tokens import AccessTokens
from src.api.services.accounts.accounts import LOCAL_ADMIN, NewRefreshToken, Session
from src.api.services.accounts.failed_logins import FailedLogins
from src.api.services.accounts.mail_links import Link, MailLinks
from src.api.services.accounts.sessions import Sessions
from src.api.services.accounts.users import LINK_SECONDS, REGISTRATION_CLOSED, Account, UserDatabase, UserManager

__all__ = ["Auth"]

_UPDATE_REJECTED = "UPDATE_USER_INVALID_PASSWORD"
_NO_MAIL = (
    "A new e-mail takes effect once its link is opened, and this engine has no mail server (SMTP_HOST). "
    "Ask another admin to change it, or run skyflo admin change-email on the engine's host."
)
_PASSWORD_MISSING = "CURRENT_PASSWORD_MISSING"  # noqa: S105 - codes for programs
_PASSWORD_WRONG = "CURRENT_PASSWORD_WRONG"  # noqa: S105


class Auth:
    """Implement `Accounts` with fastapi-users. Create it inside the event loop."""

    def __init__(
        self,
        store: Store,
        ids: Ids,
        *,
        signing: AccessTokens,
        mail_links: MailLinks,
        failed: FailedLogins,
        refresh_days: int,
        registration_enabled: bool,
    ) -> None:
        self._users = UserDatabase(store, ids, registration_enabled=registration_enabled)
        self._manager = UserManager(self._users, signing.secret)
        self._sessions = Sessions(store, ids, refresh_days)
        self._signing = signing
        self._mail_links = mail_links
        self._failed_logins = failed
        self._registration_enabled = registration_enabled

    async def authenticate(self, token: str) -> Caller:
        claims = self._signing.read(token)
        user = await self._sessions.find_user(*claims) if claims else None
        if claims is None or user is None:
            raise NotAuthenticated("Your session has ended or the token is not valid. Sign in again.")
        return Account.of(user).caller(claims[1], audit_name(user))

    async def login(self, email: str, password: str) -> Session:
        account = await self._users.get_by_email(email)
        is_correct = await self._manager.verify_password(password, account)
        session = None
        if account is not None and is_correct:
            session = await self._sessions.begin(account.id, account.hashed_password)
        if account is not None and not is_correct:
            self._failed_logins.record(account.id)
        if account is None or session is None:
            raise BadRequest("E-mail or password is wrong.", reason="LOGIN_BAD_CREDENTIALS")
        return self._session(account, session)

    async def issue_refresh_token(self, caller: Caller) -> NewRefreshToken:
        token = await self._sessions.issue(caller.id, _require_session_id(caller))
        return NewRefreshToken(token, self._sessions.refresh_seconds)

    async def refresh(self, token: str) -> Session:
        renewed = await self._sessions.renew(token)
        refresh = NewRefreshToken(renewed.token, self._sessions.refresh_seconds)
        return self._session(Account.of(renewed.user), renewed.session, refresh)

    async def logout(self, caller: Caller) -> None:
        if caller.session is not None:
            await self._sessions.end(caller.id, caller.session)

    def _session(self, account: Account, session: str, refresh: NewRefreshToken | None = None) -> Session:
        token = self._signing.token(account.id, session)
        return Session(token, self._signing.lifetime, account.view(), refresh)

    async def register(self, wanted: Registration) -> UserView:
        if not self._registration_enabled and await self._users.has_users():
            raise Forbidden(REGISTRATION_CLOSED)
        password = await self.hash_password(wanted.email, wanted.password)
        try:
            made = await self._users.create(
                {"email": wanted.email.lower(), "full_name": wanted.full_name, "hashed_password": password}
            )
        except UserAlreadyExists as error:
            raise _email_taken("REGISTER_USER_ALREADY_EXISTS") from error
        return made.view()

    async def hash_password(self, email: str, password: SecretStr, reason: str = "REGISTER_INVALID_PASSWORD") -> str:
        try:
            await self._manager.validate_password(password.get_secret_value(), email)
        except InvalidPasswordException as error:
            raise BadRequest(str(error.reason), reason=reason) from error
        return await self._manager.hash(password.get_secret_value())

    async def send_reset_link(self, email: str) -> None:
        async def link() -> Link | None:
            account = await self._users.get_by_email(email)
            if account is None or not account.is_active or not account.has_password:
                return None
            return Link(account.email, "reset", self._manager.reset_token(account))

        self._mail_links.send_later(link)

    async def make_reset_link(self, user_id: str) -> ResetLink:
        account = await self._users.get(user_id)
        if account is None:
            raise NotFound("There is no such account.")
        if not account.is_active or not account.has_password:
            raise Conflict("This account is removed, or signs in only by the identity provider. It has no password.")
        return ResetLink(url=self._mail_links.url("reset", self._manager.reset_token(account)), expires_in=LINK_SECONDS)

    async def reset_password(self, wanted: PasswordReset) -> None:
        account = await self._manager.account_for_reset(wanted.token)
        if account is None:
            raise _invalid_link("RESET_PASSWORD_BAD_TOKEN")
        hashed = await self.hash_password(account.email, wanted.password, "RESET_PASSWORD_INVALID_PASSWORD")
        try:
            await self._users.update(
                account,
                {"hashed_password": hashed, "pending_email": None},
                keep_session="",
                action="user.password_reset",
            )
        except Conflict as error:
            raise _invalid_link("RESET_PASSWORD_BAD_TOKEN") from error

    async def send_verification_link(self, email: str) -> None:
        async def link() -> Link | None:
            account = await self._users.get_by_email(email)
            if account is None or not account.is_active or account.is_verified:
                return None
            return Link(account.email, "verify", self._manager.verify_token(account, account.email))

        self._mail_links.send_later(link)

    def _send_change_link(self, user_id: str) -> None:
        async def link() -> Link | None:
            account = await self._users.get(user_id)
            if account is None or not account.is_active or account.pending_email is None:
                return None
            token = self._manager.verify_token(account, account.pending_email)
            return Link(account.pending_email, "change", token, account.email)

        self._mail_links.send_later(link)

    async def verify_email(self, token: str) -> UserView:
        found = await self._manager.account_for_verification(token)
        if found is None:
            raise _invalid_link("VERIFY_USER_BAD_TOKEN")
        account, email = found
        if email == account.email and account.is_verified:
            raise BadRequest("This e-mail is verified already.", reason="VERIFY_USER_ALREADY_VERIFIED")
        if email != account.email and await self._users.get_by_email(email) is not None:
            raise _email_taken("UPDATE_USER_EMAIL_ALREADY_EXISTS")
        proven: dict[str, Scalar] = {"email": email, "is_verified": True, "pending_email": None}
        try:
            if email == account.email:
                return (await self._users.update(account, {"is_verified": True})).view()
            return (await self._users.update(account, proven, action="user.email_changed")).view()
        except Conflict as error:
            raise _invalid_link("VERIFY_USER_BAD_TOKEN") from error

    async def has_no_users(self) -> bool:
        return not await self._users.has_users()

    async def profile(self, caller: Caller) -> UserView:
        return _LOCAL_VIEW if caller == LOCAL_ADMIN else (await self._account(caller)).view()

    async def change_profile(self, caller: Caller, wanted: ProfileChange) -> UserView:
        account, values = await self._own_account(caller), dict[str, Scalar]()
        if wanted.full_name is not None:
            values["full_name"] = wanted.full_name
        if wanted.email is not None or wanted.password is not None:
            await self._require_password(account, wanted.current_password)
        if wanted.password is not None:
            values["hashed_password"] = await self.hash_password(account.email, wanted.password, _UPDATE_REJECTED)
            values["pending_email"] = None
        if wanted.email is not None:
            values["pending_email"] = await self._check_new_email(account, wanted.email.lower())
        changed = await self._update(caller, account, values)
        if changed.pending_email is not None and wanted.email is not None:
            self._send_change_link(account.id)
        return changed

    async def _check_new_email(self, account: Account, email: str) -> str | None:
        """Return the e-mail that has to be proved first, or None if it is the account's own.

        Raises `BadRequest` if it belongs to another account or if no link can be sent.
        """
        if email == account.email:
            return None
        if await self._users.get_by_email(email) is not None:
            raise _email_taken("UPDATE_USER_EMAIL_ALREADY_EXISTS")
        if not self._mail_links.can_send:
            raise BadRequest(_NO_MAIL, reason="EMAIL_CHANGE_NEEDS_MAIL")
        return email

    async def change_password(self, caller: Caller, wanted: PasswordChange) -> UserView:
        account = await self._own_account(caller)
        await self._require_password(account, wanted.current_password)
        hashed = await self.hash_password(account.email, wanted.new_password, _UPDATE_REJECTED)
        return await self._update(caller, account, {"hashed_password": hashed, "pending_email": None})

    async def confirm_password(self, caller: Caller, password: SecretStr) -> None:
        await self._require_password(await self._own_account(caller), password)

    async def _update(self, caller: Caller, account: Account, values: dict[str, Scalar]) -> UserView:
        if not values:
            return account.view()
        keep_session = (caller.session or "") if "hashed_password" in values else None
        return (await self._users.update(account, values, keep_session=keep_session)).view()

    async def _require_password(self, account: Account, given: SecretStr | None) -> None:
        if not account.has_password:
            raise BadRequest("This account has no password: you sign in by the identity provider. Ask an admin.")
        if given is None:
            raise BadRequest("For this, send your current password in current_password.", reason=_PASSWORD_MISSING)
        if not await self._manager.verify_password(given.get_secret_value(), account):
            raise BadRequest("The current password is wrong. Enter it again.", reason=_PASSWORD_WRONG)

    async def _account(self, caller: Caller) -> Account:
        account = await self._users.get(caller.id)
        if account is None:
            raise NotAuthenticated("This account no longer exists. Sign in with another one.")
        return account

    async def _own_account(self, caller: Caller) -> Account:
        """Return the account that the caller wants to change."""
        if caller == LOCAL_ADMIN:
            raise Forbidden("The local admin has no account to change. Register one and sign in with it.")
        if caller.machine:
            raise Forbidden("API tokens can't change accounts. Sign in as a user.")
        return await self._account(caller)


def _require_session_id(caller: Caller) -> str:
    if caller.session is None:
        raise Forbidden("Only a person who has signed in has a session to refresh.")
    return caller.session


def _email_taken(reason: str) -> BadRequest:
    return BadRequest("There is an account with this e-mail already.", reason=reason)


def _invalid_link(reason: str) -> BadRequest:
    return BadRequest("This link was used before, has expired, or is invalid. Request a new one.", reason=reason)


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
