"""Open sign-in with an OpenID provider, when it is first used."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from src.api.adapters.lazy import import_in_thread
from src.api.config.settings import Settings
from src.api.endpoints.oidc import callback_path
from src.api.ports import Clock, Ids, Store
from src.api.services.access import Role
from src.api.services.accounts.accounts import Accounts
from src.api.services.accounts.oidc.sign_in import SignIn

if TYPE_CHECKING:
    from src.api.adapters.oidc.provider import ClientRegistration

__all__ = ["open_oidc"]


async def open_oidc(
    stack: AsyncExitStack,
    settings: Settings,
    store: Store,
    clock: Clock,
    ids: Ids,
    accounts: Callable[[], Awaitable[Accounts]],
) -> SignIn:
    """Build the sign-in service without contacting the provider."""
    await import_in_thread("src.api.adapters.oidc.provider")
    known = await accounts()
    from src.api.adapters.oidc.provider import OpenIdProvider
    from src.api.services.accounts.access_tokens import AccessTokens
    from src.api.services.accounts.oidc.attempts import SignInAttempts
    from src.api.services.accounts.oidc.service import OidcSignIn, SignInRules
    from src.api.services.accounts.sessions import Sessions

    provider = OpenIdProvider(_client(settings), clock)
    stack.push_async_callback(provider.aclose)
    roles = None if settings.oidc_roles is None else {group: Role(role) for group, role in settings.oidc_roles.items()}
    default = None if settings.oidc_default_role is None else Role(settings.oidc_default_role)
    return OidcSignIn(
        store,
        ids,
        provider,
        known,
        attempts=SignInAttempts(settings.secret, ids),
        sessions=Sessions(store, ids, settings.jwt_refresh_token_expire_days),
        signing=AccessTokens(settings.secret, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes * 60),
        rules=SignInRules(roles, default, settings.oidc_session_hours * 3_600),
    )


def _client(settings: Settings) -> "ClientRegistration":
    from src.api.adapters.oidc.provider import ClientRegistration

    secret, issuer = settings.oidc_client_secret, settings.oidc_issuer or ""
    return ClientRegistration(
        issuer=issuer,
        id=settings.oidc_client_id or "",
        redirect_uri=f"{(settings.public_url or '').rstrip('/')}{callback_path(settings)}",
        scopes=settings.oidc_scopes,
        groups_claim=settings.oidc_groups_claim,
        secret=secret.get_secret_value() if secret else None,
        allow_http=issuer.startswith("http://"),  # refused by the settings outside local mode
    )
