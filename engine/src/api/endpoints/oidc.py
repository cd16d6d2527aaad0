"""`/auth/oidc`: signing in by an OpenID provider, in a browser."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Cookie, Query, Response
from fastapi.responses import RedirectResponse

from src.api.endpoints.auth import set_access, set_refresh
from src.api.endpoints.dependencies import Address, Api, Services, SignedIn, TheSignIn
from src.api.schemas.oidc import LOCAL_PATH, LinkBegun, LinkWanted, OidcOffer
from src.api.services.signin import ATTEMPT_SECONDS, Begun, Returned

if TYPE_CHECKING:
    from src.api.config.settings import Settings

__all__ = ["callback_path", "pages", "router"]

router = APIRouter(prefix="/auth/oidc", tags=["oidc"])

COOKIE = "oidc_sign_in"
Following = Annotated[str, Query(alias="next", max_length=500, pattern=LOCAL_PATH, description="Where to come back to")]
Brought = Annotated[str | None, Query(max_length=4_000)]


def callback_path(settings: "Settings") -> str:
    """Where the provider sends people back to."""
    return f"{settings.api_v1_str}{router.prefix}/callback"


def pages(settings: "Settings") -> dict[str, str]:
    """The page that tells people in a browser why signing in failed: `error` is the problem's `reason` or `code`."""
    if settings.oidc_issuer is None:
        return {}
    page = f"{_home(settings)}/login"
    return {callback_path(settings): page, f"{settings.api_v1_str}{router.prefix}/login": page}


@router.get("")
async def offer(api: Api) -> OidcOffer:
    """Whether one can sign in by an OpenID provider here, and what it is called."""
    enabled = api.oidc is not None
    return OidcOffer(enabled=enabled, name=api.settings.oidc_name if enabled else None)


@router.get("/login", status_code=302, response_class=RedirectResponse)
async def login(api: Api, sign_in: TheSignIn, address: Address, following: Following = "/") -> Response:
    """Sends a browser to the provider; it comes back to `/auth/oidc/callback`, and from there to `next`."""
    await api.rates.provider(address)
    begun = await sign_in.begin(following)
    answer = RedirectResponse(begun.url, 302)
    _set_attempt(api, answer, begun)
    return answer


@router.post("/link")
async def link(
    api: Api, sign_in: TheSignIn, caller: SignedIn, address: Address, wanted: LinkWanted, response: Response
) -> LinkBegun:
    """Begins to link the caller's account: a browser that goes to `url` signs in there, and so does in future."""
    await api.rates.provider(address)
    await api.rates.confirmation(caller.id)
    begun = await sign_in.link(caller, wanted.current_password, wanted.next)
    _set_attempt(api, response, begun)
    return LinkBegun(url=begun.url)


@router.get("/callback", status_code=303, response_class=RedirectResponse)
async def callback(
    api: Api,
    sign_in: TheSignIn,
    address: Address,
    oidc_sign_in: Annotated[str | None, Cookie(max_length=4_000)] = None,
    state: Brought = None,
    code: Brought = None,
    iss: Brought = None,
    error: Brought = None,
) -> Response:
    """Where the provider sends a browser back to: begins a session, sets its cookies, and goes on to `next`."""
    await api.rates.provider(address)
    entered = await sign_in.finish(oidc_sign_in, Returned(state, code, iss, error))
    answer = RedirectResponse(f"{_home(api.settings)}{entered.next}", 303)
    set_access(api, answer, entered.session)
    if entered.session.refresh is not None:
        set_refresh(api, answer, entered.session.refresh)
    answer.delete_cookie(COOKIE, _path(api), httponly=True, secure=not api.settings.local_mode, samesite="lax")
    return answer


def _home(settings: "Settings") -> str:
    return (settings.public_url or "").rstrip("/")


def _path(api: Services) -> str:
    return f"{api.settings.api_v1_str}{router.prefix}"


def _set_attempt(api: Services, response: Response, begun: Begun) -> None:
    """Lax: the browser brings it back from the provider's page, which is another site."""
    secure = not api.settings.local_mode
    response.set_cookie(
        COOKIE, begun.cookie, ATTEMPT_SECONDS, path=_path(api), httponly=True, secure=secure, samesite="lax"
    )
