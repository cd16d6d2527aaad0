"""Create team members who sign in and act, each with their own Kubernetes user and groups."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from src.api.ports import Store, Transaction
from src.api.schemas.query import Scalar
from src.api.schemas.records import User
from tests.support.api_user import ApiUser
from tests.support.app import log_in, register_user
from tests.support.loopback import loopback_async

__all__ = ["Team"]


class Team:
    """The members that an engine in local mode with open registration should have. `store` is the engine's store."""

    def __init__(self, address: str, store: Store) -> None:
        self._address = address
        self._store = store
        self._ids: dict[str, str] = {}

    async def add(self, name: str, role: str = "member", kubernetes: str | None = None, *groups: str) -> None:
        async with loopback_async(self._address) as client:
            made = await register_user(client, f"{name}@example.org", full_name=name)
        self._ids[name] = str(made["id"])
        await self.change(name, role=role, kubernetes_user=kubernetes, kubernetes_groups=json.dumps(groups))

    async def change(self, name: str, **values: Scalar) -> None:
        async def body(tx: Transaction) -> None:
            await tx.change(User, {"id": self._ids[name]}, **values)

        await self._store.transaction(body)

    @asynccontextmanager
    async def open_user(self, name: str) -> AsyncIterator[ApiUser]:
        """Sign in as this member and yield the API user."""
        async with loopback_async(self._address) as client:
            token = await log_in(client, f"{name}@example.org")
            client.headers["Authorization"] = f"Bearer {token}"
            yield ApiUser(client)
