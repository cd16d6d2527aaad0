"""Store credentials encrypted in the engine's own database, for engines without a cluster."""

from collections.abc import Mapping

from src.api.adapters.secrets.encryption import EncryptionKeys, SealedText
from src.api.errors import Conflict, CredentialsUnreadable, SecretsRefused
from src.api.ports import Reader, Store, Transaction
from src.api.schemas.records import SealedCredentials

__all__ = ["LOCAL_NAMESPACE", "LocalSecrets"]

LOCAL_NAMESPACE = "@local"
"""Not a valid namespace in Kubernetes, so it can't collide with one."""


class LocalSecrets:
    """`Secrets` in the database. The encryption covers ref and owner, so that rows can't be swapped."""

    def __init__(self, store: Store, keys: EncryptionKeys) -> None:
        self._store = store
        self._keys = keys

    def ref(self, name: str) -> str:
        return f"{LOCAL_NAMESPACE}/{name}"

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        ref = self.ref(name)
        encrypted = self._keys.seal(ref, owner, values)
        row = SealedCredentials(ref, owner, encrypted.key_id, encrypted.text)

        async def body(tx: Transaction) -> SealedCredentials | None:
            return None if await tx.insert(row) else await tx.get(SealedCredentials, ref=ref)

        existing = await self._store.transaction(body)
        if existing is not None and (existing.owner != owner or self._decrypt(existing) != dict(values)):
            raise Conflict("Other credentials are stored under this name already. They were not changed.")

    async def read(self, ref: str) -> Mapping[str, str]:
        async def body(reader: Reader) -> SealedCredentials | None:
            return await reader.get(SealedCredentials, ref=ref)

        row = await self._store.read(body)
        if row is None:
            raise CredentialsUnreadable("These credentials are no longer in the database. Send them again.")
        return self._decrypt(row)

    async def remove(self, ref: str) -> None:
        async def body(tx: Transaction) -> None:
            await tx.remove(SealedCredentials, {"ref": ref})

        await self._store.transaction(body)

    async def check(self) -> None:
        async def body(reader: Reader) -> list[str]:
            return await reader.distinct(SealedCredentials, "key_id", {})

        if set(await self._store.read(body)) - self._keys.ids:
            raise SecretsRefused(
                "Some credentials were encrypted with a key that is missing. Add it to CREDENTIALS_KEY."
            )

    def _decrypt(self, row: SealedCredentials) -> Mapping[str, str]:
        return self._keys.open(row.ref, row.owner, SealedText(row.key_id, row.sealed))
