"""Store LangGraph's checkpoints: ids and routes of active runs, for inspection only.

No guarantee depends on them. They go to PostgreSQL if that is the database, to SQLite in the embedded default, and to
memory if the configured database is down: then `degraded` gives the reason and the engine continues.
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

from src.api.utils.file_lock import locked

__all__ = ["Checkpointer", "open_checkpointer"]

logger = logging.getLogger(__name__)

Saver = BaseCheckpointSaver[Any]
Errors = tuple[type[Exception], ...]
_OUTAGES: Errors = (sqlite3.Error, OSError, TimeoutError)
"""Errors that mean that a saver is down. A saver for another database adds its driver's errors."""


class Checkpointer(Saver):
    """Wrap a saver so that its failure loses the checkpoint only. `degraded` is the last reason, or None."""

    def __init__(self, saver: Saver, degraded: str | None = None, down: Errors = _OUTAGES) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._outages = down
        self.degraded = degraded

    @property
    def config_specs(self) -> list[Any]:
        return self._saver.config_specs

    def get_next_version(self, current: Any, channel: None) -> Any:
        return self._saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return None: a run continues from its database rows, never from a checkpoint."""
        return None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save the checkpoint, unless the run has ended: it would be deleted at once."""
        if checkpoint["channel_values"].get("ended"):
            return config
        try:
            saved = await self._saver.aput(config, checkpoint, metadata, new_versions)
        except self._outages as error:
            self._record_failure(error)
            return config
        return saved

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        try:
            await self._saver.aput_writes(config, writes, task_id, task_path)
        except self._outages as error:
            self._record_failure(error)

    async def adelete_thread(self, thread_id: str) -> None:
        try:
            await self._saver.adelete_thread(thread_id)
        except self._outages as error:
            self._record_failure(error)

    def _record_failure(self, error: BaseException) -> None:
        self.degraded = f"The checkpointer does not answer ({type(error).__name__}); runs go on without it."
        logger.warning(self.degraded, extra={"action": "checkpointer.failed"})


@asynccontextmanager
async def open_checkpointer(postgres_url: str | None, sqlite_path: Path | None) -> AsyncIterator[Checkpointer]:
    """Open the configured saver, or memory with the reason in `degraded`. With neither address: memory, by choice."""
    down: Errors = _OUTAGES if postgres_url is None else _OUTAGES + _postgres_errors()
    async with AsyncExitStack() as stack:
        try:
            saver = await _open_saver(stack, postgres_url, sqlite_path)
            reason = None
        except down as error:
            saver = InMemorySaver()
            reason = f"The configured checkpointer can't be opened ({type(error).__name__}); memory is used instead."
            logger.warning(reason, extra={"action": "checkpointer.degraded"})
        yield Checkpointer(saver, reason, down)


async def _open_saver(stack: AsyncExitStack, postgres_url: str | None, sqlite_path: Path | None) -> Saver:
    if postgres_url is not None:
        from src.api.adapters.checkpoints_postgres import open_saver

        return await open_saver(stack, postgres_url)
    if sqlite_path is not None:
        connection = await _connect_sqlite(sqlite_path)
        stack.push_async_callback(connection.close)
        saver = AsyncSqliteSaver(connection)
        # Changing the journal mode fails while another process does the same, whatever the busy timeout.
        async with locked(sqlite_path.with_suffix(".opening")):
            await saver.setup()
        # Losing checkpoints in a power failure is harmless, and waiting for the disk would slow down each turn.
        await connection.execute("PRAGMA synchronous = OFF")
        return saver
    return InMemorySaver()


async def _connect_sqlite(path: Path) -> aiosqlite.Connection:
    """Connect, and let the connection finish opening before a cancellation is honoured.

    The library's thread answers in any case, possibly to an event loop that is closed by then.
    """
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
