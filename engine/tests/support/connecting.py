"""The crash suite connects to something: credentials come, are exchanged, spoiled and removed, and none is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from src.api.adapters.store.store import open_store
from src.api.ports import Reader, Transaction
from src.api.schemas.query import no
from src.api.schemas.records import CredentialNote, SealedCredentials
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.client import Client
    from tests.support.scenarios import World

__all__ = ["integrations", "jenkins"]


def jenkins(name: str, token: str = "t-1") -> dict[str, Any]:
    return {
        "provider": "jenkins",
        "name": name,
        "metadata": {"api_url": "https://ci.example.org"},
        "credentials": {"username": "bot", "api_token": token},
    }


def integrations(world: World) -> None:
    """Two are connected and can't have one name; one gets a new token, loses it, gets another; both go."""
    client = world.client
    for name in ("one", "two"):
        made = client.post("/integrations", jenkins(name))
        assert made.status_code in (201, 409), made.text  # 409: made before the crash
    one, two = (_path(client, name) for name in ("one", "two"))
    before = _listed(client)["one"]["credentials_ref"]
    token = {"credentials": {"username": "bot", "api_token": "t-2"}}
    assert client.request("PATCH", one, token).json()["credentials_ref"] != before
    assert client.request("PATCH", one, {**token, "name": "two"}).status_code == 409
    asyncio.run(_spoil(client, _listed(client)["one"]["credentials_ref"]))
    assert client.request("PATCH", one, {"status": "active"}).status_code == 409
    assert _listed(client)["one"]["status"] == "error"
    assert client.request("PATCH", one, token).json()["status"] == "active"
    assert client.request("PATCH", one, {"status": "active"}).status_code == 200
    for path in (one, two):
        assert client.request("DELETE", path).status_code in (200, 404)  # 404: removed before the crash
    asyncio.run(_nothing_is_left(client))


def _listed(client: Client) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get("/integrations")["data"]}


def _path(client: Client, name: str) -> str:
    return f"/integrations/{_listed(client)[name]['id']}"


async def _spoil(client: Client, ref: str) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(SealedCredentials, {"ref": ref}, sealed="spoiled")

    async with open_store(client.engine.database, pool_size=1) as store:
        await store.transaction(body)


async def _nothing_is_left(client: Client) -> None:
    """Makes what a crash left behind look old; then the sweep removes it."""

    async def age(tx: Transaction) -> None:
        await tx.change_all(CredentialNote, {"due_at": no(None)}, due_at=0)

    async def count(reader: Reader) -> int:
        return len(await reader.find(CredentialNote, {})) + len(await reader.find(SealedCredentials, {}))

    async def gone() -> bool:
        await asyncio.to_thread(client.get, "/health")
        return await store.read(count) == 0

    async with open_store(client.engine.database, pool_size=1) as store:
        await store.transaction(age)
        await eventually(gone, what="the removal of all credentials")
