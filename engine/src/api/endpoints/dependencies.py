"""What routes ask for: the services, and who is calling."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

from src.api.errors import NotAuthenticated, NotFound, Unavailable
from src.api.services.access import Caller, require_scope
from src.api.services.accounts import LOCAL_ADMIN, Accounts
from src.api.services.rates import Network, RateLimits, remote_address
from src.api.services.signin import SignIn
from src.api.services.tokens import PREFIX, Tokens

if TYPE_CHECKING:
    from src.api.config.settings import Settings
    from src.api.services.analytics import Analytics
    from src.api.services.approvals import Approvals
    from src.api.services.audience import Audience
    from src.api.services.audit import Audit
    from src.api.services.chat import Chat
    from src.api.services.conversations import Conversations
    from src.api.services.health import Health
    from src.api.services.inbox import Inbox
    from src.api.services.integrations import Integrations
    from src.api.services.policies import PolicyBook
    from src.api.services.runs import Runs
    from src.api.services.stream import Streams
    from src.api.services.team import Team
    from src.api.services.tools import Tools
    from src.api.services.verification import Verification

__all__ = [
    "AUTH_COOKIE",
    "Address",
    "Api",
    "Cursor",
    "Limit",
    "MaybeSignedIn",
    "Services",
    "SignedIn",
    "TheAccounts",
    "TheSignIn",
    "is_local",
    "signed_in",
    "within_rate",
]

AUTH_COOKIE = "auth_token"


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that routes may use. The container makes it when the application starts.

    `accounts` and `oidc` are calls because their libraries are loaded after the port is open, the latter by the first
    who needs it; it is None where it is not set up. `closing` is set when the process is asked to end.
    """

    settings: Settings
    accounts: Callable[[], Awaitable[Accounts]]
    analytics: Analytics
    approvals: Approvals
    audience: Audience
    audit: Audit
    chat: Chat
    closing: asyncio.Event
    conversations: Conversations
    health: Health
    inbox: Inbox
    integrations: Integrations
    oidc: Callable[[], Awaitable[SignIn]] | None
    policy: PolicyBook
    rates: RateLimits
    runs: Runs
    streams: Streams
    team: Team
    tokens: Tokens
    tools: Tools
    trusted_proxies: tuple[Network, ...]
    verification: Verification


def services_of(request: Request) -> Services:
    found = getattr(request.app.state, "services", None)
    if not isinstance(found, Services):
        raise Unavailable("The engine is starting. Try again in a moment.")
    return found


Api = Annotated[Services, Depends(services_of)]
_BEARER = HTTPBearer(auto_error=False, description="Or the cookie auth_token. In local mode this machine needs none.")


def is_local(request: Request) -> bool:
    """Whether this may be the local admin: decided by the origin guard, false outside local mode."""
    return bool(getattr(request.state, "local", False))


def _token(request: Request) -> str | None:
    """The bearer token, else the cookie. Raises `NotAuthenticated` for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return request.cookies.get(AUTH_COOKIE)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the access token as: Authorization: Bearer <token>.")
    return token.strip()


async def _identified(request: Request, api: Services) -> Caller | None:
    """Looked up once for each request."""
    known = getattr(request.state, "identified", None)
    if isinstance(known, Caller):
        return known
    token = _token(request)
    if token is not None and token.startswith(PREFIX):
        caller = await api.tokens.caller(token)
    elif token is not None:
        caller = await (await api.accounts()).caller(token)
    elif is_local(request):
        caller = LOCAL_ADMIN
    else:
        return None
    request.state.caller = caller.id
    request.state.identified = caller
    return caller


async def signed_in(request: Request, api: Api, _: Annotated[object, Security(_BEARER)]) -> Caller:
    caller = await _identified(request, api)
    if caller is None:
        raise NotAuthenticated("Sign in first, or send an access token.")
    require_scope(caller, reads=request.method in ("GET", "HEAD"))
    return caller


async def maybe_signed_in(request: Request, api: Api) -> Caller | None:
    """For what everybody may ask: a token that is no longer valid makes one anonymous, not refused."""
    try:
        return await _identified(request, api)
    except NotAuthenticated:
        return None


SignedIn = Annotated[Caller, Depends(signed_in)]
MaybeSignedIn = Annotated[Caller | None, Depends(maybe_signed_in)]


def address_of(request: Request, api: Api) -> str:
    """Where the request comes from, as far as it can be trusted. A proxy may add a line to the header of its client."""
    peer = request.client.host if request.client else ""
    return remote_address(peer, ",".join(request.headers.getlist("x-forwarded-for")), api.trusted_proxies)


Address = Annotated[str, Depends(address_of)]


async def within_rate(api: Api, caller: MaybeSignedIn, address: Address) -> None:
    """Refuses whoever asks too often."""
    await api.rates.request(caller.id if caller else None, address)


async def accounts_of(api: Api) -> Accounts:
    return await api.accounts()


TheAccounts = Annotated[Accounts, Depends(accounts_of)]


async def sign_in_of(api: Api) -> SignIn:
    if api.oidc is None:
        raise NotFound("No identity provider is set up here. Sign in with e-mail and password.", reason="oidc_off")
    return await api.oidc()


TheSignIn = Annotated[SignIn, Depends(sign_in_of)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=50)]
