"""Store and remove credentials so that a crash never leaves any behind unnoticed.

The credential store is outside our transactions. So a record is written first (`writing`), then the credentials, then
one transaction marks the record `kept` together with the integration that uses it. Replaced credentials become
`leaving` in the transaction that replaces them; they are deleted, and then their record. After a crash only `writing`
or
`leaving` records remain, and the sweep deletes their credentials. Every write uses a new name, so none overwrites
another.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from src.api.errors import Conflict, EngineError, SecretsRefused, Unavailable
from src.api.ports import Clock, Ids, Reader, Secrets, Store, Transaction
from src.api.schemas.query import Where, is_not_null, le
from src.api.schemas.records import CredentialRecord
from src.api.services.background import run_periodically, warn
from src.api.utils.canonical import canonical

__all__ = ["CredentialStore"]

logger = logging.getLogger(__name__)

PUT_TIMEOUT = 30.0
"""Seconds after the record is written in which the credentials may be sent. A process that was frozen longer sends
none.
"""

UNUSED_AFTER_MS = 600_000
"""Age at which a `writing` record counts as abandoned."""

RETRY_MS = 60_000
BATCH = 100

Guard = Callable[[Transaction], Awaitable[None]]


@dataclass(slots=True)
class CredentialStore:
    """Credentials of integrations. `secrets` loads the credential store on first use."""

    store: Store
    secrets: Callable[[], Awaitable[Secrets]]
    ids: Ids
    clock: Clock
    every: float

    async def put(self, integration_id: str, values: Mapping[str, str], guard: Guard) -> CredentialRecord:
        """Store credentials; return their record, for `keep` or `discard`. `guard` may raise beforehand."""
        secrets, began = await self.secrets(), self.clock.monotonic()
        name = f"skyflo-{integration_id}-{self.ids.new()[-12:]}"
        record = CredentialRecord(secrets.ref(name), integration_id, canonical([*sorted(values)]), "writing", None)

        async def body(tx: Transaction) -> None:
            await guard(tx)
            await tx.insert(replace(record, due_at=await tx.now() + UNUSED_AFTER_MS))

        await self.store.transaction(body)
        if self.clock.monotonic() - began > PUT_TIMEOUT:
            raise Unavailable("Storing the credentials took too long. Nothing was changed; try again.")
        try:
            await secrets.put(name, integration_id, values)
        except (Conflict, SecretsRefused):
            await self._delete_record(record.ref)
            raise
        return record

    async def keep(self, tx: Transaction, record: CredentialRecord) -> list[str]:
        """Make these the integration's credentials and release its previous ones. The integration's row must be locked.

        Raises `Unavailable` if the sweep has already taken them for abandoned.
        """
        released = await self.release(tx, record.integration_id)
        if (
            await tx.change(CredentialRecord, {"ref": record.ref, "state": "writing"}, state="kept", due_at=None)
            is None
        ):
            raise Unavailable("Storing the credentials took too long. Nothing was changed; try again.")
        return released

    async def release(self, tx: Transaction, integration_id: str) -> list[str]:
        """Release the integration's credentials; delete the returned refs after the commit. Its row must be locked."""
        in_use: Where = {"integration_id": integration_id, "state": "kept"}
        return [
            record.ref
            for record in await tx.change_all(CredentialRecord, in_use, state="leaving", due_at=await tx.now())
        ]

    async def discard(self, record: CredentialRecord) -> None:
        """Delete credentials that were stored but not kept. Kept credentials are left alone."""

        async def body(tx: Transaction) -> None:
            released = replace(record, state="leaving", due_at=await tx.now())
            waiting: Where = {"ref": record.ref, "state": "writing"}
            if await tx.change(CredentialRecord, waiting, state=released.state, due_at=released.due_at) is None:
                await tx.insert(released)

        await self.store.transaction(body)
        await self.delete(record.ref)

    async def delete(self, ref: str) -> bool:
        """Delete released credentials and then their record. The sweep retries what fails."""
        if await self.store.transaction(partial(self._claim, ref)) is None:
            return False
        try:
            await (await self.secrets()).remove(ref)
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "credentials.not_removed", "code": error.code})
            return False
        await self._delete_record(ref)
        return True

    async def run_forever(self) -> None:
        """Sweep at once and then every `every` seconds, until cancelled."""
        failed = warn(logger, "credentials.sweep_failed")
        await run_periodically(self.sweep, self.clock, lambda: self.every, failed)

    async def sweep(self) -> None:
        """Delete unused credentials that a crash or an unreachable credential store left behind."""
        for ref in await self.store.read(_due_refs):
            await self.delete(ref)

    async def _claim(self, ref: str, tx: Transaction) -> CredentialRecord | None:
        """Claim a record for a minute, so that other replicas skip it."""
        now = await tx.now()
        due: Where = {"ref": ref, "state": ("writing", "leaving"), "due_at": le(now)}
        return await tx.change(CredentialRecord, due, state="leaving", due_at=now + RETRY_MS)

    async def _delete_record(self, ref: str) -> None:
        async def body(tx: Transaction) -> None:
            await tx.remove(CredentialRecord, {"ref": ref, "state": ("writing", "leaving")})

        await self.store.transaction(body)


async def _due_refs(reader: Reader) -> list[str]:
    """Return refs that may be due; the database's clock decides."""
    found = await reader.find(CredentialRecord, {"due_at": is_not_null()}, "due_at", BATCH)
    return [record.ref for record in found]
