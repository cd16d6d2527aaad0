"""Generate conversation titles with a model, in the background."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from src.api.agent.context import unless_halted
from src.api.agent.titles import GeneratedTitle, generate_title
from src.api.errors import EngineError, ModelTimeout, RunFenced, RunStopped
from src.api.ports import Model, Reader, Transaction
from src.api.schemas.events import Event, TitleGenerated
from src.api.schemas.query import Increment, Where
from src.api.schemas.records import Conversation, Message, Run
from src.api.services.background import BackgroundTasks, run_in_background
from src.api.services.conversations.search import index_title
from src.api.services.lease import Lease
from src.api.services.runs.session import RunDependencies
from src.api.services.runs.stop import watch_for_stop
from src.api.services.runs.usage import build_model_call, build_usage_event, has_tokens
from src.api.services.streaming.watcher import RunWatcher

__all__ = ["TitleGenerator", "TitleModel"]

logger = logging.getLogger(__name__)

TIMEOUT = 30.0
"""Seconds to wait for the model's answer."""

MAX_CONCURRENT = 100
"""Title requests that run at once in this process; further conversations keep the title cut from their message."""


@dataclass(frozen=True, slots=True)
class TitleModel:
    """The model that generates titles, by its name in the settings. `load` may wait for the adapter."""

    name: str
    load: Callable[[], Awaitable[Model]]


@dataclass(frozen=True, slots=True)
class _FirstMessage:
    """The first message of a conversation, and the title that was cut from it."""

    text: str
    title: str | None


@dataclass(slots=True)
class TitleGenerator:
    """Generate titles with a model while the first answer is streamed, without delaying it.

    Best effort: a failure is logged, and the conversation keeps the title cut from its message. A title that a user has
    set is never replaced.
    """

    deps: RunDependencies
    watcher: RunWatcher
    tasks: BackgroundTasks
    model: TitleModel
    timeout: float = field(default=TIMEOUT, kw_only=True)
    _running: int = field(init=False, default=0)

    def start(self, lease: Lease) -> None:
        """Request a title in the background, once per lease and only in a run's first turn."""
        if lease.title_requested or lease.run.turn:
            return
        lease.title_requested = True
        if self._running >= MAX_CONCURRENT:
            logger.warning(
                "Too many titles are being generated, so this one is skipped.",
                extra={"action": "title.skipped", "run_id": lease.run_id},
            )
            return
        self._running += 1
        task = self.tasks.spawn(self._generate(lease), name=f"title {lease.run_id}")
        task.add_done_callback(self._count_finished)

    def _count_finished(self, _: "asyncio.Task[None]") -> None:
        self._running -= 1

    async def _generate(self, lease: Lease) -> None:
        # The worker watches for a stop only while it works; the title may take longer than the run.
        async with run_in_background(watch_for_stop(self.deps.infra.store, self.watcher, lease)):
            try:
                await unless_halted(lease, self._request_title(lease))
            except (RunFenced, RunStopped) as error:
                logger.info(error.detail, extra={"action": "title.dropped", "run_id": lease.run_id, "code": error.code})
            except EngineError as error:
                failed = {"action": "title.failed", "run_id": lease.run_id, "code": error.code}
                logger.warning(error.detail, extra=failed)

    async def _request_title(self, lease: Lease) -> None:
        first_message = await self.deps.infra.store.read(lambda reader: _read_first_message(reader, lease))
        if first_message is None:
            return
        await self.deps.budgets.check(lease)
        reply = await self._ask_model(first_message.text)
        if reply.title is None:
            unusable = {"action": "title.unusable", "run_id": lease.run_id}
            logger.warning("The model's answer can't be used as a title.", extra=unusable)
        await self._save(lease, first_message, reply)

    async def _ask_model(self, text: str) -> GeneratedTitle:
        model = await self.model.load()
        try:
            async with asyncio.timeout(self.timeout):
                return await generate_title(model, self.model.name, text, self.deps.infra.redactor)
        except TimeoutError as error:
            raise ModelTimeout(f"The title did not come within {self.timeout:g} seconds.") from error

    async def _save(self, lease: Lease, first_message: _FirstMessage, reply: GeneratedTitle) -> None:
        """Record the call's usage and set the title unless it has changed. Fenced like every write of a run."""

        async def body(tx: Transaction) -> None:
            now = await tx.now()
            is_set = await _set_title(tx, lease, first_message, reply.title)
            owned: Where = {"id": lease.run_id, "fence": lease.fence, "stop_at": None}
            run = await tx.change(Run, owned, updated_at=now)
            if run is None:
                raise RunFenced("The run was stopped, or another worker owns it now.")
            if has_tokens(reply.usage):
                await tx.insert(
                    build_model_call(self.deps.infra.ids.new(), run, self.model.name, reply.usage, None, now)
                )
            if is_set and reply.title is not None and run.state == "running":
                events: list[Event] = [TitleGenerated(type="conversation.title.generated", title=reply.title)]
                if has_tokens(reply.usage):
                    events.insert(0, build_usage_event("title", self.model.name, reply.usage))
                await self.deps.journal.record_or_defer(tx, run, events, now)

        await self.deps.infra.store.transaction(body)


async def _read_first_message(reader: Reader, lease: Lease) -> _FirstMessage | None:
    """Return the first message, or None unless this run answers it and the title was cut from it."""
    found = await reader.get(Conversation, id=lease.conversation_id)
    if found is None or found.title_by != "message" or found.deleted_at is not None:
        return None
    first = await reader.find(Message, {"conversation_id": found.id, "hidden": False}, "created_at,id", 1)
    return _FirstMessage(first[0].content, found.title) if first and first[0].run_id == lease.run_id else None


async def _set_title(tx: Transaction, lease: Lease, first_message: _FirstMessage, title: str | None) -> bool:
    """Set the title, and return whether it was set.

    It is not set if the first message has changed, or the conversation was renamed or deleted.
    """
    await tx.change(Conversation, {"id": lease.conversation_id}, touches=Increment(1))
    if title is None or await _read_first_message(tx, lease) != first_message:
        return False
    await tx.change(Conversation, {"id": lease.conversation_id, "title_by": "message"}, title=title, title_by="model")
    await index_title(tx, lease.conversation_id, title)
    return True
