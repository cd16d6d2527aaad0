"""Give tools the address and credentials of the integration that they use."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from src.api.errors import Conflict, NotFound
from src.api.ports import Clock, Reader, Secrets, Store
from src.api.schemas.records import Integration

__all__ = ["ConnectedIntegrations"]

_ACTIVE = "active"
_REFRESH_SECONDS = 3.0


@dataclass(slots=True)
class ConnectedIntegrations:
    """`IntegrationAccess` over the stored integrations. Which providers there are is read again after three seconds."""

    store: Store
    secrets: Callable[[], Awaitable[Secrets]]
    clock: Clock
    _providers: frozenset[str] = field(default_factory=frozenset)
    _read_at: float | None = None

    async def providers(self) -> frozenset[str]:
        now = self.clock.monotonic()
        if self._read_at is None or now - self._read_at >= _REFRESH_SECONDS:

            async def body(reader: Reader) -> list[str]:
                return await reader.distinct(Integration, "provider", {"status": _ACTIVE})

            self._providers, self._read_at = frozenset(await self.store.read(body)), now
        return self._providers

    async def read(self, provider: str) -> Mapping[str, str]:
        async def body(reader: Reader) -> list[Integration]:
            return await reader.find(Integration, {"provider": provider, "status": _ACTIVE}, limit=2)

        found = await self.store.read(body)
        if not found:
            raise NotFound(f"No integration for {provider} is active. An admin adds it, or enables it.")
        if len(found) > 1:
            raise Conflict(f"Several integrations for {provider} are active. An admin disables all but one.")
        row = found[0]
        metadata = {name: value for name, value in json.loads(row.metadata).items() if isinstance(value, str)}
        return {**metadata, **await (await self.secrets()).read(row.credentials_ref or "")}
