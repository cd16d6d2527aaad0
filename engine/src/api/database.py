"""Open the database, and find out what stands in front of it."""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from src.api.adapters.store.errors import DRIVER_ERRORS
from src.api.adapters.store.migrations import migrate, missing_from
from src.api.adapters.store.store import open_store
from src.api.config.pooling import POOLER_FOUND, has_transaction_pooler
from src.api.config.settings import Settings, SettingsError
from src.api.ports import Bus, RunChanged, Store
from src.api.ports.metrics import Metrics
from src.api.utils.failpoints import Failpoints

__all__ = ["is_pooled", "open_database"]

logger = logging.getLogger(__name__)


async def is_pooled(settings: Settings) -> bool:
    """Return whether to use the database as behind a pooler in transaction mode.

    If that can't be found out, the answer is True, which is slower and always right. Raises `SettingsError` if the
    settings deny a pooler that is there.
    """
    if settings.postgres_database_url is None:
        return False
    if settings.db_pooler == "transaction":
        return True
    try:
        found = await has_transaction_pooler(settings.postgres_database_url)
    except DRIVER_ERRORS as error:
        kind = type(error).__name__
        logger.warning("Can't check for a connection pooler (%s).", kind, extra={"action": "pooler.unchecked"})
        return settings.db_pooler == "auto"
    if found and settings.db_pooler != "auto":
        raise SettingsError([f"DB_POOLER: is {settings.db_pooler}. {POOLER_FOUND}: set DB_POOLER=transaction"])
    if found:
        logger.info("%s, and is used as such.", POOLER_FOUND, extra={"action": "pooler.found"})
    return found


@asynccontextmanager
async def open_database(
    settings: Settings, bus: Bus, failpoints: Failpoints, *, pooled: bool, metrics: Metrics | None = None
) -> AsyncIterator[Store]:
    """Open the database: an embedded one is migrated, any other must be up to date, since other replicas may use it."""
    url = settings.database_url
    if settings.embedded:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)

    def committed(changes: Sequence[RunChanged]) -> None:
        for change in changes:
            bus.notify(change)

    async with open_store(url, on_commit=committed, failpoints=failpoints, pooled=pooled, metrics=metrics) as store:
        if missing := missing_from(await store.applied_migrations()):
            if not settings.embedded:
                lacking = ", ".join(missing)
                raise SettingsError([f"POSTGRES_DATABASE_URL: the database lacks {lacking}; run: aerich upgrade"])
            await migrate(url)
        yield store
