"""`/auth/oidc`: sign-in with an OpenID provider, in a browser."""

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Cookie, Query, Response
from fastapi.responses import RedirectResponse

from src.api.endpoints.auth import set_access, set_refresh
from src.api.endpoints.dependencies import Address, Api, Services, SignedIn, SignInDependency
from src.api.schemas.oidc import LOCAL_PATH, LinkRequest, LinkStarted, OidcStatus
from src.api.services.accounts.oidc.sign_in import ATTEMPT_SECONDS, SignInCallback, SignInStarted

if TYPE_CHECKING:
    from src.api.config.settings import Settings

__all__ = ["callback_path", "pages", "router"]

router = APIRouter(prefix="/auth/oidc", tags=["oidc"])

COOKIE = "oidc_sign_in"
NextPath = Annotated[str, Query(alias="next", max_length=500, pattern=LOCAL_PATH, description="Path to return to")]
CallbackParameter = Annotated[str | None, Query(max_length=4_000)]


def callback_path(settings: "Settings") -> str:
    """Return the path that the provider redirects to."""
    return f"{settings.api_v1_str}{router.prefix}/callback"


def pages(settings: "Settings") -> dict[str, str]:
    """Map browser routes to the page that shows sign-in errors: its `error` is the problem's `reason` or `code`."""
    if settings.oidc_issuer is None:
        return {}
    page = f"{_home(settings)}/login"
    return {callback_path(settings): page, f"{settings.api_v1_str}{router.prefix}/login": page}


@router.get("")
async def offer(api: Api) -> OidcStatus:
    """Return whether OpenID Connect sign-in is available, and the provider's name."""
    enabled = api.oidc is not None
    return OidcStatus(enabled=enabled, name=api.settings.oidc_name if enabled else None)


@router.get("/login", status_code=302, response_class=RedirectResponse)
async def login(api: Api, sign_in: SignInDependency, address: Address, next_path: NextPath = "/") -> Response:
    """Redirect the browser to the provider. It returns to `/auth/oidc/callback`, and from there to `next`."""
    await api.rates.provider(address)
    started = await sign_in.begin(next_path)
    answer = RedirectResponse(started.url, 302)
    _set_attempt(api, answer, started)
    return answer


@router.post("/link")
async def link(
    api: Api, sign_in: SignInDependency, caller: SignedIn, address: Address, wanted: LinkRequest, response: Response
) -> LinkStarted:
    """Begin to link the caller's account to an identity: send the browser to `url` to sign in there."""
    await api.rates.provider(address)
    await api.rates.confirmation(caller)
    started = await sign_in.link(caller, wanted.current_password, wanted.next)
    _set_attempt(api, response, started)
    return LinkStarted(url=started.url)


@router.get("/callback", status_code=303, response_class=RedirectResponse)
async def callback(
    api: Api,
    sign_in: SignInDependency,
    address: Address,
    oidc_sign_in: Annotated[str | None, Cookie(max_length=4_000)] = None,
    state: CallbackParameter = None,
    code: CallbackParameter = None,
    iss: CallbackParameter = None,
    error: CallbackParameter = None,
) -> Response:
    """Complete a sign-in: begin a session, set its cookies, and redirect to `next`."""
    await api.rates.provider(address)
    result = await sign_in.finish(oidc_sign_in, SignInCallback(state, code, iss, error))
    answer = RedirectResponse(f"{_home(api.settings)}{result.next}", 303)
    set_access(api, answer, result.session)
    if result.session.refresh is not None:
        set_refresh(api, answer, result.session.refresh)
    answer.delete_cookie(COOKIE, _path(api), httponly=True, secure=not api.settings.local_mode, samesite="lax")
    return answer


def _home(settings: "Settings") -> str:
    return (settings.public_url or "").rstrip("/")


def _path(api: Services) -> str:
    return f"{api.settings.api_v1_str}{router.prefix}"


def _set_attempt(api: Services, response: Response, started: SignInStarted) -> None:
    """SameSite=Lax, since the browser returns from the provider's site."""
    secure = not api.settings.local_mode
    response.set_cookie(
        COOKIE, started.cookie, ATTEMPT_SECONDS, path=_path(api), httponly=True, secure=secure, samesite="lax"
    )
