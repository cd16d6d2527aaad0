"""What a conversation is called before anybody names it: by its first message, then by a model."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from src.api.agent.context import unless_halted
from src.api.agent.naming import Named, name_it
from src.api.errors import EngineError, ModelTimeout, RunFenced, RunStopped
from src.api.ports import Model, Reader, Transaction
from src.api.schemas.events import TitleGenerated
from src.api.schemas.query import Plus, Where
from src.api.schemas.records import Conversation, Message, Run
from src.api.services.desk import Office
from src.api.services.heeding import heed
from src.api.services.leases import Lease
from src.api.services.pulse import Pulse
from src.api.services.search import keep_title
from src.api.services.tasks import Tasks
from src.api.services.usage import is_counted, spent
from src.api.utils.text import clean

__all__ = ["TitleModel", "Titles", "title_of"]

logger = logging.getLogger(__name__)

WITHIN = 30.0
"""Seconds for the model's answer."""

MOST = 100
"""Titles that one process has under way at once; conversations beyond keep the title that was cut."""

MAX_WORDS_LENGTH = 60
_FENCE = re.compile(r"```.*?(```|\Z)", re.DOTALL)
_MARKUP = re.compile(r"[`*_#>\[\]]+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s|[\n\r]")


def title_of(text: str) -> str:
    """A short title out of a first message: its first sentence, cut at a word, at most 61 characters, on one line."""
    plain = _MARKUP.sub("", _FENCE.sub(" ", clean(text[:4_000]))).strip()
    first = " ".join(_SENTENCE_END.split(plain, maxsplit=1)[0].split())
    if len(first) > MAX_WORDS_LENGTH:
        head, space, _ = first[: MAX_WORDS_LENGTH + 1].rpartition(" ")
        first = f"{head if space else first[:MAX_WORDS_LENGTH]}…"
    return first.rstrip(".") or "New conversation"


@dataclass(frozen=True, slots=True)
class TitleModel:
    """Who names: its name as the settings give it. `load` may wait for the adapter."""

    name: str
    load: Callable[[], Awaitable[Model]]


@dataclass(frozen=True, slots=True)
class _Opening:
    """What a conversation begins with, and the title that was cut from it."""

    text: str
    title: str | None


class Titles:
    """Has a model name conversations, beside their first answer and never in its way.

    Best effort: what goes wrong is a line in the log, and the title stays the one that was cut from the message. A
    person's is never replaced.
    """

    def __init__(
        self, office: Office, pulse: Pulse, tasks: Tasks, model: TitleModel, *, within: float = WITHIN
    ) -> None:
        self._office = office
        self._pulse = pulse
        self._tasks = tasks
        self._model = model
        self._within = within
        self._under_way = 0

    def begin(self, lease: Lease) -> None:
        """The model has begun to answer. Asks for the title in the background: in a run's first turn, once a lease."""
        if lease.naming or lease.run.turn:
            return
        lease.naming = True
        if self._under_way >= MOST:
            logger.warning("too many titles are under way", extra={"action": "title.skipped", "run_id": lease.run_id})
            return
        self._under_way += 1
        task = self._tasks.spawn(self._name(lease), name=f"title {lease.run_id}")
        task.add_done_callback(self._done)

    def _done(self, _: "asyncio.Task[None]") -> None:
        self._under_way -= 1

    async def _name(self, lease: Lease) -> None:
        # The run's worker heeds Stop while it works; a title may still be under way when the run rests or has ended.
        heeding = asyncio.ensure_future(heed(self._office.store, self._pulse, lease))
        try:
            await unless_halted(lease, self._named(lease))
        except (RunFenced, RunStopped) as gone:
            logger.info(gone.detail, extra={"action": "title.dropped", "run_id": lease.run_id, "code": gone.code})
        except EngineError as error:
            logger.warning(error.detail, extra={"action": "title.failed", "run_id": lease.run_id, "code": error.code})
        finally:
            heeding.cancel()
            await asyncio.gather(heeding, return_exceptions=True)

    async def _named(self, lease: Lease) -> None:
        opening = await self._office.store.read(lambda reader: _opening(reader, lease))
        if opening is None:
            return
        named = await self._ask(opening.text)
        if named.title is None:
            unusable = {"action": "title.unusable", "run_id": lease.run_id}
            logger.warning("What the model answered is no title.", extra=unusable)
        await self._keep(lease, opening, named)

    async def _ask(self, text: str) -> Named:
        model = await self._model.load()
        try:
            async with asyncio.timeout(self._within):
                return await name_it(model, self._model.name, text, self._office.redactor)
        except TimeoutError as error:
            raise ModelTimeout(f"The title did not come within {self._within:g} seconds.") from error

    async def _keep(self, lease: Lease, opening: _Opening, named: Named) -> None:
        """Counts what the call took, and sets the title unless it is another by now. Fenced, as all of a run is."""

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            is_set = await _set(tx, lease, opening, named.title)
            held: Where = {"id": lease.run_id, "fence": lease.fence, "stop_at": None}
            run = await tx.change(Run, held, touched_at=now)
            if run is None:
                raise RunFenced("The run was stopped, or is another worker's by now.")
            if is_counted(named.usage):
                await tx.insert(spent(self._office.ids.new(), run.id, self._model.name, named.usage, None, now))
            if is_set and named.title is not None and run.state == "running":
                event = TitleGenerated(type="conversation.title.generated", title=named.title)
                await self._office.journal.record_or_defer(tx, run, [event], now)

        await self._office.store.transaction(body)


async def _opening(reader: Reader, lease: Lease) -> _Opening | None:
    """None unless this run answers the first message that the conversation shows, and nobody has named it yet."""
    found = await reader.get(Conversation, id=lease.conversation_id)
    if found is None or found.title_by != "message" or found.deleted_at is not None:
        return None
    first = await reader.find(Message, {"conversation_id": found.id, "hidden": False}, "created_at,id", 1)
    return _Opening(first[0].content, found.title) if first and first[0].run_id == lease.run_id else None


async def _set(tx: Transaction, lease: Lease, opening: _Opening, title: str | None) -> bool:
    """Whether it is the title now: not if the conversation begins otherwise by now, or has been named or deleted."""
    await tx.change(Conversation, {"id": lease.conversation_id}, touches=Plus(1))
    if title is None or await _opening(tx, lease) != opening:
        return False
    await tx.change(Conversation, {"id": lease.conversation_id, "title_by": "message"}, title=title, title_by="model")
    await keep_title(tx, lease.conversation_id, title)
    return True
