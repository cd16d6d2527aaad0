"""Seals the audit trail every few seconds, where something was added to it: by one replica at a time."""

import logging

from src.api.errors import StoreUnavailable, Unavailable
from src.api.ports import Clock, Reader, Store, Transaction
from src.api.schemas.query import Where
from src.api.schemas.trail import AuditHead, AuditSeal
from src.api.services.seals import SEALS, SealKey, made_seal
from src.api.utils.chain import GENESIS

__all__ = ["Sealer"]

logger = logging.getLogger(__name__)

MAX_HEADS = 500
"""Streams that one seal covers."""

MAX_SEALS = 100
"""Seals at one time, where much has waited."""


class _NothingNew(Exception):
    """Another replica has sealed what this one saw; its transaction is to leave nothing behind."""


class Sealer:
    """A seal covers the streams that have moved since they were sealed last, so its cost follows what happens."""

    def __init__(self, store: Store, clock: Clock, key: SealKey, every: float) -> None:
        self._store = store
        self._clock = clock
        self._key = key
        self._every = every

    async def forever(self) -> None:
        while True:
            await self._clock.sleep(self._every)
            try:
                await self.seal()
            except Unavailable as error:
                logger.warning(error.detail, extra={"action": "audit.not_sealed"})

    async def seal(self) -> list[AuditSeal]:
        """Seals what is new; the seals, none where nothing is."""
        made: list[AuditSeal] = []
        while len(made) < MAX_SEALS and (seal := await self._one()) is not None:
            told = {"action": "audit.sealed", "seal": f"{seal.n}:{seal.hash}", "streams": seal.count}
            logger.info("The audit trail is sealed: %s:%s", seal.n, seal.hash, extra=told)
            made.append(seal)
        return made

    async def _one(self) -> AuditSeal | None:
        async def look(reader: Reader) -> tuple[AuditHead | None, tuple[str, ...]]:
            moved = await reader.find(AuditHead, {"seal": None}, "stream", MAX_HEADS)
            last = await reader.get(AuditHead, stream=SEALS) if moved else None
            return last, tuple(each.stream for each in moved)

        last, streams = await self._store.read(look)
        if not streams:
            return None
        try:
            return await self._store.transaction(lambda tx: self._add(tx, last, streams), upkeep=True)
        except _NothingNew:
            return None

    async def _add(self, tx: Transaction, last: AuditHead | None, streams: tuple[str, ...]) -> AuditSeal:
        """Takes its turn by a compare-and-set on where the seals end; the heads it covers are locked until it is in."""
        if last is None:
            last = AuditHead(SEALS, 0, GENESIS, since=1, seal=0)
            await tx.insert(last)
        guard: Where = {"stream": SEALS, "n": last.n, "hash": last.hash}
        if await tx.change(AuditHead, guard, n=last.n + 1) is None:
            raise _NothingNew
        heads = await tx.change_all(AuditHead, {"stream": streams, "seal": None}, seal=last.n + 1)
        if not heads:
            raise _NothingNew
        seal = made_seal(self._key, last.n + 1, last.hash, heads, await tx.now())
        if not await tx.insert(seal):
            raise StoreUnavailable(f"Seal {seal.n} of the audit is there already. See what `skyflo audit verify` says.")
        await tx.change(AuditHead, {"stream": SEALS}, hash=seal.hash)
        return seal
