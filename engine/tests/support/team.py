"""Members of a team who sign in and act, each under the names that Kubernetes knows."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from src.api.ports import Store, Transaction
from src.api.schemas.query import Scalar
from src.api.schemas.records import User
from tests.support.app import registered, signed_in
from tests.support.person import Person
from tests.support.waiting import PATIENCE

__all__ = ["Team"]


class Team:
    """Whoever an engine in local mode, with open registration, is to know. `store` is its own."""

    def __init__(self, address: str, store: Store) -> None:
        self._address = address
        self._store = store
        self._ids: dict[str, str] = {}

    async def add(self, name: str, role: str = "member", kubernetes: str | None = None, *groups: str) -> None:
        async with httpx.AsyncClient(base_url=self._address, timeout=PATIENCE) as client:
            made = await registered(client, f"{name}@example.org", full_name=name)
        self._ids[name] = str(made["id"])
        await self.change(name, role=role, kubernetes_user=kubernetes, kubernetes_groups=json.dumps(groups))

    async def change(self, name: str, **values: Scalar) -> None:
        async def body(tx: Transaction) -> None:
            await tx.change(User, {"id": self._ids[name]}, **values)

        await self._store.transaction(body)

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator[Person]:
        """Signed in."""
        async with httpx.AsyncClient(base_url=self._address, timeout=PATIENCE) as client:
            token = await signed_in(client, f"{name}@example.org")
            client.headers["Authorization"] = f"Bearer {token}"
            yield Person(client)
