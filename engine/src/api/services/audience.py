"""Those who follow streams, and whether they still may.

One task a process asks for all of them: at most five statements every `LOOK_EVERY` seconds for each `BATCH` of them.
"""

import asyncio
import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Self

from src.api.errors import StoreUnavailable
from src.api.ports import Clock, Reader, Store
from src.api.schemas.query import above
from src.api.schemas.records import ApiToken, Approval, Conversation, RefreshToken, User
from src.api.services.access import Caller, Role, sees

__all__ = ["LOOK_EVERY", "Audience"]

logger = logging.getLogger(__name__)

LOOK_EVERY = 2.0
BATCH = 500


@dataclass(frozen=True, slots=True, eq=False)
class _Seat:
    caller: Caller
    conversation_id: str
    barred: asyncio.Event


class Audience:
    """Alive inside `async with`. While the database can't be asked, what was allowed stays so."""

    def __init__(self, store: Store, clock: Clock, every: float = LOOK_EVERY) -> None:
        self._store = store
        self._clock = clock
        self._every = every
        self._seats: set[_Seat] = set()
        self._seated = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._look_forever(), name="audience")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    @contextmanager
    def seat(self, caller: Caller, conversation_id: str) -> Iterator[asyncio.Event]:
        """Set once the caller's account, session or token is no longer good, or shows them this conversation no more.

        A conversation that is deleted bars nobody: its streams end with the run that its deletion stops.
        """
        seat = _Seat(caller, conversation_id, asyncio.Event())
        self._seats.add(seat)
        self._seated.set()
        try:
            yield seat.barred
        finally:
            self._seats.discard(seat)
            if not self._seats:
                self._seated.clear()

    async def _look_forever(self) -> None:
        while True:
            await self._seated.wait()
            await self._clock.sleep(self._every)
            try:
                seats = list(self._seats)
                for first in range(0, len(seats), BATCH):
                    await self._look(seats[first : first + BATCH])
            except StoreUnavailable as error:
                logger.info("Streams' readers can't be checked: %s", error, extra={"action": "audience.unchecked"})

    async def _look(self, seats: Sequence[_Seat]) -> None:
        async def body(reader: Reader) -> set[_Seat]:
            callers = await _present(reader, {seat.caller for seat in seats}, self._clock.now())
            allowed = await _allowed(reader, {(callers.get(seat.caller), seat.conversation_id) for seat in seats})
            return {seat for seat in seats if (callers.get(seat.caller), seat.conversation_id) not in allowed}

        for seat in await self._store.read(body):
            seat.barred.set()


async def _present(reader: Reader, callers: Collection[Caller], now: int) -> dict[Caller, Caller]:
    """Those whose session or token is good, and account open, each in the role of this moment."""
    sessions = tuple(each.session for each in callers if each.session is not None)
    tokens = tuple(each.token for each in callers if each.token is not None)
    open_sessions = await reader.find(RefreshToken, {"id": sessions, "revoked_at": None}) if sessions else []
    open_tokens = await reader.find(ApiToken, {"id": tokens, "expires_at": above(now)}) if tokens else []
    good = {(row.id, row.user_id) for row in open_sessions} | {(row.id, row.user_id) for row in open_tokens}
    people = tuple({user for _, user in good})
    roles = {user.id: Role(user.role) for user in await reader.find(User, {"id": people, "is_active": True})}
    local = {each: each for each in callers if each.session is None and each.token is None}
    return local | {
        each: replace(each, role=roles[each.id])
        for each in callers
        if (each.session or each.token, each.id) in good and each.id in roles
    }


async def _allowed(reader: Reader, looks: Collection[tuple[Caller | None, str]]) -> set[tuple[Caller | None, str]]:
    ids = tuple({conversation_id for _, conversation_id in looks})
    known = {each.id: each for each in await reader.find(Conversation, {"id": ids})}
    asked = set(await reader.distinct(Approval, "conversation_id", {"conversation_id": ids}))
    return {
        (caller, each)
        for caller, each in looks
        if caller is not None and each in known and sees(caller, known[each], had_approval=each in asked)
    }
