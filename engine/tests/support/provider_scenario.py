"""A crash scenario that signs in through an OpenID provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.client import raise_if_unavailable

if TYPE_CHECKING:
    import httpx

    from tests.support.crash_scenarios import ScenarioContext

__all__ = ["by_provider"]


def by_provider(context: ScenarioContext) -> None:
    """Sign in twice through an OpenID provider: exactly one account exists, even if the first sign-in crashed."""
    for _ in range(2):
        assert context.client.retry(lambda: _sign_in(context)).status_code == 303
    members = context.client.get_list("/team/members")
    assert [(member["email"], member["role"]) for member in members] == [("zoe@example.com", "admin")]
    assert context.client.get("/auth/me")["email"] == "zoe@example.com"


def _sign_in(context: ScenarioContext) -> httpx.Response:
    http, url = context.client.http, context.client.url
    begun = raise_if_unavailable(http.get(f"{url}/auth/oidc/login"))
    back = http.get(begun.headers["location"]).headers["location"]
    return raise_if_unavailable(http.get(f"{url}/auth/oidc/callback?{back.partition('?')[2]}"))
