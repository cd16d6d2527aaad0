"""A crash scenario that adds, rotates, breaks and removes credentials, and checks that none is left."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from src.api.adapters.store.store import open_store
from src.api.ports import Reader, Transaction
from src.api.schemas.query import is_not_null
from src.api.schemas.records import CredentialRecord, SealedCredentials
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.client import RetryingClient
    from tests.support.crash_scenarios import ScenarioContext

__all__ = ["integrations", "jenkins_integration"]


def jenkins_integration(name: str, token: str = "t-1") -> dict[str, Any]:
    return {
        "provider": "jenkins",
        "name": name,
        "metadata": {"api_url": "https://ci.example.org"},
        "credentials": {"username": "bot", "api_token": token},
    }


def integrations(context: ScenarioContext) -> None:
    """Connect two integrations, reject a duplicate name, lose and replace a token, and remove both."""
    client = context.client
    for name in ("one", "two"):
        made = client.post("/integrations", jenkins_integration(name))
        assert made.status_code in (201, 409), made.text  # 409: created before the crash
    one, two = (_integration_path(client, name) for name in ("one", "two"))
    before = _list_integrations(client)["one"]["credentials_ref"]
    token = {"credentials": {"username": "bot", "api_token": "t-2"}}
    assert client.request("PATCH", one, token).json()["credentials_ref"] != before
    assert client.request("PATCH", one, {**token, "name": "two"}).status_code == 409
    asyncio.run(_corrupt_credentials(client, _list_integrations(client)["one"]["credentials_ref"]))
    assert client.request("PATCH", one, {"status": "active"}).status_code == 409
    assert _list_integrations(client)["one"]["status"] == "error"
    assert client.request("PATCH", one, token).json()["status"] == "active"
    assert client.request("PATCH", one, {"status": "active"}).status_code == 200
    for path in (one, two):
        assert client.request("DELETE", path).status_code in (200, 404)  # 404: removed before the crash
    asyncio.run(_check_nothing_is_left(client))


def _list_integrations(client: RetryingClient) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in client.get_list("/integrations")}


def _integration_path(client: RetryingClient, name: str) -> str:
    return f"/integrations/{_list_integrations(client)[name]['id']}"


async def _corrupt_credentials(client: RetryingClient, ref: str) -> None:
    async def body(tx: Transaction) -> None:
        assert await tx.change(SealedCredentials, {"ref": ref}, sealed="spoiled")

    async with open_store(client.engine.database, pool_size=1) as store:
        await store.transaction(body)


async def _check_nothing_is_left(client: RetryingClient) -> None:
    """Backdate what the crash left behind and wait until the sweep has removed it."""

    async def age(tx: Transaction) -> None:
        await tx.change_all(CredentialRecord, {"due_at": is_not_null()}, due_at=0)

    async def count(reader: Reader) -> int:
        return len(await reader.find(CredentialRecord, {})) + len(await reader.find(SealedCredentials, {}))

    async def gone() -> bool:
        await asyncio.to_thread(client.get, "/health")
        return await store.read(count) == 0

    async with open_store(client.engine.database, pool_size=1) as store:
        await store.transaction(age)
        await eventually(gone, what="the removal of all credentials")
