"""An engine with a real OpenID provider, and people who sign in there."""

from pathlib import Path
from typing import Any

from src.api.config.settings import Settings
from src.api.ports import Reader, Transaction
from src.api.schemas.records import User
from tests.support.app import RunningApp, check_problem, make_settings
from tests.support.oidc_provider import PAGES, SECRET, Provider, open_browser

__all__ = ["change_user", "list_users", "oidc_settings", "refuse_sign_in", "sign_in"]

ROLES = {"admins": "admin", "approvers": "approver", "developers": "member", "everybody": "viewer"}


def oidc_settings(folder: Path, provider: Provider, **more: Any) -> Settings:
    """Settings with a provider: checked in local mode, because it speaks HTTP, then used outside it."""
    wanted = make_settings(
        folder,
        **{
            "local_mode": True,
            "public_url": PAGES,
            "oidc_issuer": provider.issuer,
            "oidc_client_id": "confidential",
            "oidc_client_secret": SECRET,
            "oidc_scopes": "openid email profile groups",
            "oidc_roles": ROLES,
            **more,
        },
    )
    return wanted.model_copy(update={"local_mode": False})


async def sign_in(engine: RunningApp, provider: Provider, name: str, *groups: str, **claims: Any) -> dict[str, Any]:
    """Sign in with a fresh browser and return the account."""
    provider.add_person(name, *groups, **claims)
    async with open_browser(engine.app) as browser:
        answer = await browser.sign_in(name)
        assert answer.status_code == 303, answer.text
        return dict((await browser.open("/auth/me")).json())


async def refuse_sign_in(engine: RunningApp, name: str, status: int, reason: str) -> str:
    """Check that the sign-in is refused for this reason, and return the error's detail."""
    async with open_browser(engine.app) as browser:
        body = check_problem(await browser.sign_in(name), status)
        assert body["reason"] == reason
        assert (await browser.open("/auth/me")).status_code == 401
    return str(body["detail"])


async def change_user(engine: RunningApp, email: str, **values: Any) -> None:
    async def body(tx: Transaction) -> None:
        (found,) = await tx.find(User, {"email": email})
        assert await tx.change(User, {"id": found.id}, **values)

    await engine.services.conversations.store.transaction(body)


async def list_users(engine: RunningApp) -> list[User]:
    async def body(reader: Reader) -> list[User]:
        return await reader.find(User, {})

    return await engine.services.conversations.store.read(body)
