"""Where credentials are put, and where those are that were put before the setting was another."""

from collections.abc import Mapping

from src.api.adapters.secrets.local import PLACE, LocalSecrets
from src.api.errors import SecretsRefused
from src.api.ports import Secrets

__all__ = ["Places"]


class Places:
    """`Secrets`. New ones go to the cluster where there is one; a ref is followed to wherever it leads."""

    def __init__(self, local: LocalSecrets, cluster: Secrets | None) -> None:
        self._local = local
        self._cluster = cluster
        self._chosen: Secrets = cluster or local

    def ref(self, name: str) -> str:
        return self._chosen.ref(name)

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        await self._chosen.put(name, owner, values)

    async def read(self, ref: str) -> Mapping[str, str]:
        return await self._at(ref).read(ref)

    async def remove(self, ref: str) -> None:
        await self._at(ref).remove(ref)

    async def check(self) -> None:
        await self._chosen.check()

    def _at(self, ref: str) -> Secrets:
        if ref.startswith(f"{PLACE}/"):
            return self._local
        if self._cluster is None:
            raise SecretsRefused(
                "These credentials are a Kubernetes Secret, and the engine is set to its local store. Set "
                "INTEGRATIONS_SECRETS=kubernetes again, or send the credentials again."
            )
        return self._cluster
