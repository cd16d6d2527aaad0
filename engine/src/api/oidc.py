"""Puts sign-in by an OpenID provider together, for the container, once somebody needs it."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

from src.api.adapters.late import imported
from src.api.config.settings import Settings
from src.api.endpoints.oidc import callback_path
from src.api.ports import Clock, Ids, Store
from src.api.services.access import Role
from src.api.services.accounts import Accounts
from src.api.services.signin import SignIn

if TYPE_CHECKING:
    from src.api.adapters.oidc.provider import Client

__all__ = ["open_oidc"]


async def open_oidc(
    stack: AsyncExitStack,
    settings: Settings,
    store: Store,
    clock: Clock,
    ids: Ids,
    accounts: Callable[[], Awaitable[Accounts]],
) -> SignIn:
    """Nothing is asked of the provider yet."""
    await imported("src.api.adapters.oidc.provider")
    known = await accounts()
    from src.api.adapters.oidc.provider import OpenIdProvider
    from src.api.services.attempts import Attempts
    from src.api.services.oidc import Door, OidcSignIn
    from src.api.services.sessions import Sessions
    from src.api.services.signing import Signing

    provider = OpenIdProvider(_client(settings), clock)
    stack.push_async_callback(provider.aclose)
    roles = None if settings.oidc_roles is None else {group: Role(role) for group, role in settings.oidc_roles.items()}
    default = None if settings.oidc_default_role is None else Role(settings.oidc_default_role)
    return OidcSignIn(
        store,
        ids,
        provider,
        known,
        attempts=Attempts(settings.secret, ids),
        sessions=Sessions(store, ids, settings.jwt_refresh_token_expire_days),
        signing=Signing(settings.secret, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes * 60),
        door=Door(roles, default, settings.oidc_session_hours * 3_600),
    )


def _client(settings: Settings) -> "Client":
    from src.api.adapters.oidc.provider import Client

    secret, issuer = settings.oidc_client_secret, settings.oidc_issuer or ""
    return Client(
        issuer=issuer,
        id=settings.oidc_client_id or "",
        redirect_uri=f"{(settings.public_url or '').rstrip('/')}{callback_path(settings)}",
        scopes=settings.oidc_scopes,
        groups_claim=settings.oidc_groups_claim,
        secret=secret.get_secret_value() if secret else None,
        plain=issuer.startswith("http://"),  # which the settings refuse outside local mode
    )
