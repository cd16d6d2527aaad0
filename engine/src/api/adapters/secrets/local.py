"""Credentials in the engine's own database, encrypted: for engines that run without a cluster."""

from collections.abc import Mapping

from src.api.adapters.secrets.sealing import Keys, Sealed
from src.api.errors import Conflict, CredentialsUnreadable, SecretsRefused
from src.api.ports import Reader, Store, Transaction
from src.api.schemas.records import SealedCredentials

__all__ = ["PLACE", "LocalSecrets"]

PLACE = "@local"
"""No namespace of Kubernetes can have this name."""


class LocalSecrets:
    """`Secrets`. What is sealed is bound to its ref and its owner, so that rows can't be exchanged for each other."""

    def __init__(self, store: Store, keys: Keys) -> None:
        self._store = store
        self._keys = keys

    def ref(self, name: str) -> str:
        return f"{PLACE}/{name}"

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        ref = self.ref(name)
        sealed = self._keys.seal(ref, owner, values)
        row = SealedCredentials(ref, owner, sealed.key_id, sealed.text)

        async def body(tx: Transaction) -> SealedCredentials | None:
            return None if await tx.insert(row) else await tx.get(SealedCredentials, ref=ref)

        there = await self._store.transaction(body)
        if there is not None and (there.owner != owner or self._opened(there) != dict(values)):
            raise Conflict("Other credentials are kept under this name already. They stay as they are.")

    async def read(self, ref: str) -> Mapping[str, str]:
        async def body(reader: Reader) -> SealedCredentials | None:
            return await reader.get(SealedCredentials, ref=ref)

        row = await self._store.read(body)
        if row is None:
            raise CredentialsUnreadable("These credentials are no longer in the database. Send them again.")
        return self._opened(row)

    async def remove(self, ref: str) -> None:
        async def body(tx: Transaction) -> None:
            await tx.remove(SealedCredentials, {"ref": ref})

        await self._store.transaction(body)

    async def check(self) -> None:
        async def body(reader: Reader) -> list[str]:
            return await reader.distinct(SealedCredentials, "key_id", {})

        if set(await self._store.read(body)) - self._keys.ids:
            raise SecretsRefused("Credentials were sealed with a key that is not there. Add it to CREDENTIALS_KEY.")

    def _opened(self, row: SealedCredentials) -> Mapping[str, str]:
        return self._keys.open(row.ref, row.owner, Sealed(row.key_id, row.sealed))
