"""Credentials on their way in and out: noted in the database before they are touched, so that none is ever forgotten.

What keeps them is no part of our transactions. So a note comes first (`writing`), then the credentials, then one
transaction makes the note `kept` together with the integration that uses them; what is no longer used becomes
`leaving` in the transaction that gave it up, is removed, and only then is its note. Whatever a crash leaves behind is
`writing` or `leaving`, and the sweep removes it. Every put is to a name of its own, so none replaces another.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial

from src.api.errors import Conflict, EngineError, SecretsRefused, StoreUnavailable, Unavailable
from src.api.ports import Clock, Ids, Reader, Secrets, Store, Transaction
from src.api.schemas.query import Where, at_most, no
from src.api.schemas.records import CredentialNote
from src.api.utils.canonical import canonical

__all__ = ["Keeping"]

logger = logging.getLogger(__name__)

PUT_WITHIN = 30.0
"""Seconds from the note on in which the credentials may be sent: one that was frozen for longer sends none."""

WRITING_MS = 600_000
"""When a note of credentials that nobody came to use is taken for left behind."""

AGAIN_MS = 60_000
BATCH = 100

Guard = Callable[[Transaction], Awaitable[None]]


class Keeping:
    """`secrets` waits for the store of credentials, which is loaded when it is first used."""

    def __init__(
        self, store: Store, secrets: Callable[[], Awaitable[Secrets]], ids: Ids, clock: Clock, every: float
    ) -> None:
        self._store = store
        self._secrets = secrets
        self._ids = ids
        self._clock = clock
        self._every = every

    async def put(self, integration_id: str, values: Mapping[str, str], guard: Guard) -> CredentialNote:
        """The note of credentials that now are there, for `keep` or else for `drop`. `guard` may refuse beforehand."""
        secrets, began = await self._secrets(), self._clock.boot()
        name = f"skyflo-{integration_id}-{self._ids.new()[-12:]}"
        note = CredentialNote(secrets.ref(name), integration_id, canonical([*sorted(values)]), "writing", None)

        async def body(tx: Transaction) -> None:
            await guard(tx)
            await tx.insert(replace(note, due_at=await tx.now() + WRITING_MS))

        await self._store.transaction(body)
        if self._clock.boot() - began > PUT_WITHIN:
            raise Unavailable("It took too long to keep the credentials. Nothing was changed; try again.")
        try:
            await secrets.put(name, integration_id, values)
        except (Conflict, SecretsRefused):
            await self._forget(note.ref)
            raise
        return note

    async def keep(self, tx: Transaction, note: CredentialNote) -> list[str]:
        """Makes these the credentials of its integration, whose row is locked; those before them leave, see `leave`.

        Raises `Unavailable` where the sweep has taken them for left behind.
        """
        left = await self.leave(tx, note.integration_id)
        if await tx.change(CredentialNote, {"ref": note.ref, "state": "writing"}, state="kept", due_at=None) is None:
            raise Unavailable("It took too long to keep the credentials. Nothing was changed; try again.")
        return left

    async def leave(self, tx: Transaction, integration_id: str) -> list[str]:
        """Gives up what is kept for an integration, whose row is locked. To be cleared after the commit."""
        held: Where = {"integration_id": integration_id, "state": "kept"}
        return [note.ref for note in await tx.change_all(CredentialNote, held, state="leaving", due_at=await tx.now())]

    async def drop(self, note: CredentialNote) -> None:
        """Removes credentials that were put and not kept. Nothing happens to them if they were kept all the same."""

        async def body(tx: Transaction) -> None:
            left = replace(note, state="leaving", due_at=await tx.now())
            waiting: Where = {"ref": note.ref, "state": "writing"}
            if await tx.change(CredentialNote, waiting, state=left.state, due_at=left.due_at) is None:
                await tx.insert(left)

        await self._store.transaction(body)
        await self.clear(note.ref)

    async def clear(self, ref: str) -> bool:
        """Removes credentials that are leaving, and then their note. What fails now is tried again by the sweep."""
        if await self._store.transaction(partial(self._claim, ref)) is None:
            return False
        try:
            await (await self._secrets()).remove(ref)
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "credentials.not_removed", "code": error.code})
            return False
        await self._forget(ref)
        return True

    async def forever(self) -> None:
        """Sweeps at once and then every `every` seconds, until cancelled."""
        while True:
            try:
                await self.sweep()
            except StoreUnavailable as error:
                logger.warning(error.detail, extra={"action": "credentials.sweep_failed"})
            await self._clock.sleep(self._every)

    async def sweep(self) -> None:
        """Removes what nobody uses: left behind by a crash, or by a store of credentials that did not answer."""
        for ref in await self._store.read(_waiting):
            await self.clear(ref)

    async def _claim(self, ref: str, tx: Transaction) -> CredentialNote | None:
        """For a minute nobody else tries."""
        now = await tx.now()
        due: Where = {"ref": ref, "state": ("writing", "leaving"), "due_at": at_most(now)}
        return await tx.change(CredentialNote, due, state="leaving", due_at=now + AGAIN_MS)

    async def _forget(self, ref: str) -> None:
        async def body(tx: Transaction) -> None:
            await tx.remove(CredentialNote, {"ref": ref, "state": ("writing", "leaving")})

        await self._store.transaction(body)


async def _waiting(reader: Reader) -> list[str]:
    """Those that may be due: whether they are is up to the database's clock."""
    found = await reader.find(CredentialNote, {"due_at": no(None)}, "due_at", BATCH)
    return [note.ref for note in found]
