"""Route credentials to the configured store, and refs to the store that they were written to."""

from collections.abc import Mapping

from src.api.adapters.secrets.local import LOCAL_NAMESPACE, LocalSecrets
from src.api.errors import SecretsRefused
from src.api.ports import Secrets

__all__ = ["SecretsRouter"]


class SecretsRouter:
    """`Secrets` over both stores. New credentials go to the cluster if there is one; a ref finds its own store."""

    def __init__(self, local: LocalSecrets, cluster: Secrets | None) -> None:
        self._local = local
        self._cluster = cluster
        self._default: Secrets = cluster or local

    def ref(self, name: str) -> str:
        return self._default.ref(name)

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        await self._default.put(name, owner, values)

    async def read(self, ref: str) -> Mapping[str, str]:
        return await self._store_of(ref).read(ref)

    async def remove(self, ref: str) -> None:
        await self._store_of(ref).remove(ref)

    async def check(self) -> None:
        await self._default.check()

    def _store_of(self, ref: str) -> Secrets:
        if ref.startswith(f"{LOCAL_NAMESPACE}/"):
            return self._local
        if self._cluster is None:
            raise SecretsRefused(
                "These credentials are a Kubernetes Secret, and the engine uses its local store. Set "
                "INTEGRATIONS_SECRETS=kubernetes again, or send the credentials again."
            )
        return self._cluster
