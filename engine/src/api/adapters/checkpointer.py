"""LangGraph's checkpoints: ids and routes of runs in progress, for those who want to look. No promise rests on them.

PostgreSQL where that is the database, SQLite in the embedded default, memory where the configured one is down: then
`degraded` says why, and the engine works on.
"""

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from src.api.utils.turns import turn

__all__ = ["Checkpointer", "open_checkpointer"]

logger = logging.getLogger(__name__)

Saver = BaseCheckpointSaver[Any]
Errors = tuple[type[Exception], ...]
_DOWN: Errors = (sqlite3.Error, OSError, TimeoutError)
"""What says that a saver is down. A saver for another database adds its driver's errors."""


class Checkpointer(Saver):
    """A saver whose failure costs the checkpoint and nothing else. `degraded` holds the last reason, or None."""

    def __init__(self, saver: Saver, degraded: str | None = None, down: Errors = _DOWN) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._down = down
        self.degraded = degraded

    @property
    def config_specs(self) -> list[Any]:
        return self._saver.config_specs

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self._saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """None: a leg begins from its rows, never from a checkpoint."""
        return None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        try:
            kept = await self._saver.aput(config, checkpoint, metadata, new_versions)
        except self._down as error:
            self._failed(error)
            return config
        return kept

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        try:
            await self._saver.aput_writes(config, writes, task_id, task_path)
        except self._down as error:
            self._failed(error)

    async def adelete_thread(self, thread_id: str) -> None:
        try:
            await self._saver.adelete_thread(thread_id)
        except self._down as error:
            self._failed(error)

    async def look(self, thread_id: str) -> CheckpointTuple | None:
        """The last checkpoint of a thread, for inspection."""
        return await self._saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})

    def _failed(self, error: BaseException) -> None:
        self.degraded = f"The checkpointer does not answer ({type(error).__name__}); runs go on without it."
        logger.warning(self.degraded, extra={"action": "checkpointer.failed"})


@asynccontextmanager
async def open_checkpointer(postgres_url: str | None, sqlite_path: Path | None) -> AsyncIterator[Checkpointer]:
    """The configured saver, or memory with the reason in `degraded`. Neither given: memory, by choice."""
    down: Errors = _DOWN if postgres_url is None else _DOWN + _postgres_errors()
    async with AsyncExitStack() as stack:
        try:
            saver = await _opened(stack, postgres_url, sqlite_path)
            reason = None
        except down as error:
            saver = InMemorySaver()
            reason = f"The configured checkpointer can't be opened ({type(error).__name__}); memory stands in for it."
            logger.warning(reason, extra={"action": "checkpointer.degraded"})
        yield Checkpointer(saver, reason, down)


async def _opened(stack: AsyncExitStack, postgres_url: str | None, sqlite_path: Path | None) -> Saver:
    if postgres_url is not None:
        from src.api.adapters.checkpoints_postgres import open_saver

        return await open_saver(stack, postgres_url)
    if sqlite_path is not None:
        connection = await _connected(sqlite_path)
        stack.push_async_callback(connection.close)
        saver = AsyncSqliteSaver(connection)
        # Changing the journal's mode fails where another does it, however long one would wait.
        async with turn(sqlite_path.with_suffix(".opening")):
            await saver.setup()
        # What a loss of power takes of this file nobody misses, and waiting for the disk would cost each turn.
        await connection.execute("PRAGMA synchronous = OFF")
        return saver
    return InMemorySaver()


async def _connected(path: Path) -> aiosqlite.Connection:
    """Given up only once it is open: the library's thread would answer all the same, to a loop that may be gone."""
    opening = asyncio.ensure_future(aiosqlite.connect(path))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        await asyncio.wait({opening})
        if opening.exception() is None:
            await opening.result().close()
        raise


def _postgres_errors() -> Errors:
    from src.api.adapters.checkpoints_postgres import ERRORS

    return ERRORS
