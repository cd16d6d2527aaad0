"""What somebody does in the crash suite who signs in by an OpenID provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.client import settled

if TYPE_CHECKING:
    import httpx

    from tests.support.scenarios import World

__all__ = ["by_provider"]


def by_provider(world: World) -> None:
    """Somebody comes in by an OpenID provider, twice: one account, whatever became of the first time."""
    for _ in range(2):
        assert world.client.persist(lambda: _sent_back(world)).status_code == 303
    members = world.client.get("/team/members")["data"]
    assert [(member["email"], member["role"]) for member in members] == [("zoe@example.com", "admin")]
    assert world.client.get("/auth/me")["email"] == "zoe@example.com"


def _sent_back(world: World) -> httpx.Response:
    http, url = world.client.http, world.client.url
    begun = settled(http.get(f"{url}/auth/oidc/login"))
    back = http.get(begun.headers["location"]).headers["location"]
    return settled(http.get(f"{url}/auth/oidc/callback?{back.partition('?')[2]}"))
