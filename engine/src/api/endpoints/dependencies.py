"""Dependencies of the routes: the services and the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query, Request, Security
from fastapi.security import HTTPBearer

from src.api.errors import NotAuthenticated, NotFound, Unavailable
from src.api.services.access import Caller, require_scope
from src.api.services.accounts.accounts import LOCAL_ADMIN, Accounts
from src.api.services.accounts.api_tokens import PREFIX, ApiTokens
from src.api.services.accounts.oidc.sign_in import SignIn
from src.api.services.accounts.rate_limits import Network, RateLimits, remote_address

if TYPE_CHECKING:
    from src.api.config.settings import Settings
    from src.api.services.accounts.known_devices import KnownDevices
    from src.api.services.accounts.team import Team
    from src.api.services.analytics import Analytics
    from src.api.services.application import Application
    from src.api.services.approvals.decisions import ApprovalDecisions
    from src.api.services.approvals.queries import ApprovalQueries
    from src.api.services.approvals.reconciliation import Reconciliation
    from src.api.services.audit.queries import AuditQueries
    from src.api.services.conversations.conversations import Conversations
    from src.api.services.conversations.timelines import Timelines
    from src.api.services.health import Health
    from src.api.services.integrations.service import Integrations
    from src.api.services.policy.service import PolicyService
    from src.api.services.runs.budgets import Budgets
    from src.api.services.runs.queries import RunService
    from src.api.services.runs.submit import RunSubmission
    from src.api.services.streaming.access import StreamAccess
    from src.api.services.streaming.feed import LiveFeed
    from src.api.services.streaming.limits import StreamLimit
    from src.api.services.streaming.stream import RunStreams
    from src.api.services.tools.catalog import ToolCatalog

__all__ = [
    "AUTH_COOKIE",
    "AccountsDependency",
    "Address",
    "Api",
    "Cursor",
    "Limit",
    "MaybeSignedIn",
    "Services",
    "SignInDependency",
    "SignedIn",
    "is_local",
    "signed_in",
    "within_rate",
]

AUTH_COOKIE = "auth_token"
_SIGN_IN = "Sign in first, or send an access token."
_OTHER_ACCOUNT = (
    "This engine belongs to another account of this machine. Open the address with a key that it printed at its start, "
    "or send that key as a bearer token."
)


@dataclass(frozen=True, slots=True)
class Services:
    """The services that routes use, created by the container at startup.

    `accounts` and `oidc` are functions because their libraries load after the port is open, `oidc` on first use. `oidc`
    is None if it is not configured. `closing` is set when the process is asked to stop.
    """

    settings: Settings
    accounts: Callable[[], Awaitable[Accounts]]
    analytics: Analytics
    application: Application
    approvals: ApprovalDecisions
    stream_access: StreamAccess
    audit: AuditQueries
    budgets: Budgets
    chat: RunSubmission
    closing: asyncio.Event
    conversations: Conversations
    devices: KnownDevices
    feed: LiveFeed
    feeds: StreamLimit
    health: Health
    inbox: ApprovalQueries
    integrations: Integrations
    oidc: Callable[[], Awaitable[SignIn]] | None
    policy: PolicyService
    rates: RateLimits
    runs: RunService
    run_streams: StreamLimit
    streams: RunStreams
    team: Team
    timelines: Timelines
    tokens: ApiTokens
    tools: ToolCatalog
    trusted_proxies: tuple[Network, ...]
    verification: Reconciliation


async def services_of(request: Request) -> Services:
    """Return the services. Like every dependency it is async: FastAPI would run a plain function in a thread."""
    found = getattr(request.app.state, "services", None)
    if not isinstance(found, Services):
        raise Unavailable("The engine is starting. Try again in a moment.")
    return found


Api = Annotated[Services, Depends(services_of)]
_BEARER = HTTPBearer(
    auto_error=False, description="Or the cookie auth_token. Not needed from this machine in local mode."
)


def is_local(request: Request) -> bool:
    """Whether the request may act as the local admin. `OriginGuard` decides; always false outside local mode."""
    return bool(getattr(request.state, "local", False))


def _token(request: Request) -> str | None:
    """Return the bearer token, else the cookie. Raises `NotAuthenticated` for other schemes."""
    header = request.headers.get("authorization")
    if header is None:
        return request.cookies.get(AUTH_COOKIE)
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated("Send the access token as: Authorization: Bearer <token>.")
    return token.strip()


async def _identified(request: Request, api: Services) -> Caller | None:
    """Return the caller, looked up once per request."""
    known = getattr(request.state, "identified", None)
    if isinstance(known, Caller):
        return known
    if getattr(request.state, "local_key", False):
        request.state.identified = LOCAL_ADMIN
        return LOCAL_ADMIN
    token = _token(request)
    if token is not None and token.startswith(PREFIX):
        caller = await api.tokens.caller(token)
    elif token is not None:
        caller = await (await api.accounts()).authenticate(token)
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
        raise NotAuthenticated(_OTHER_ACCOUNT if getattr(request.state, "other_account", False) else _SIGN_IN)
    require_scope(caller, reads=request.method in ("GET", "HEAD"))
    return caller


async def maybe_signed_in(request: Request, api: Api) -> Caller | None:
    """Return the caller for public routes.

    An invalid token makes the caller anonymous instead of failing the request.
    """
    try:
        return await _identified(request, api)
    except NotAuthenticated:
        return None


SignedIn = Annotated[Caller, Depends(signed_in)]
MaybeSignedIn = Annotated[Caller | None, Depends(maybe_signed_in)]


async def address_of(request: Request, api: Api) -> str:
    """Return the client's address as far as it can be trusted. Proxies may add a second header line."""
    peer = request.client.host if request.client else ""
    return remote_address(peer, ",".join(request.headers.getlist("x-forwarded-for")), api.trusted_proxies)


Address = Annotated[str, Depends(address_of)]


async def within_rate(request: Request, api: Api, caller: MaybeSignedIn, address: Address) -> None:
    """Enforce the rate limit of the caller or address."""
    await api.rates.request(caller.id if caller else None, address, reads=request.method in ("GET", "HEAD"))


async def accounts_of(api: Api) -> Accounts:
    return await api.accounts()


AccountsDependency = Annotated[Accounts, Depends(accounts_of)]


async def sign_in_of(api: Api) -> SignIn:
    if api.oidc is None:
        raise NotFound("No identity provider is set up here. Sign in with e-mail and password.", reason="oidc_off")
    return await api.oidc()


SignInDependency = Annotated[SignIn, Depends(sign_in_of)]
Cursor = Annotated[str | None, Query(max_length=200, description="`next_cursor` of the page before")]
Limit = Annotated[int, Query(ge=1, le=50)]
