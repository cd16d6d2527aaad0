"""Parts of crash scenarios about budgets and about what the sweep removes after some time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from src.api.adapters.store.store import open_store
from src.api.ports import Transaction
from src.api.schemas.records import Conversation, Execution, Message, Submission
from tests.support.crash_script import COSTLY_REQUEST
from tests.support.waiting import eventually

if TYPE_CHECKING:
    from tests.support.client import FollowedRun
    from tests.support.crash_scenarios import ScenarioContext

__all__ = ["expire_key", "make_old", "run_near_budget", "wait_until_erased", "wait_until_messages_erased"]


def run_near_budget(context: ScenarioContext) -> FollowedRun:
    """Run two model calls, the first of which uses 90 % of the budget; check that one warning is announced."""
    followed = replace(context.new_run(), text=COSTLY_REQUEST)
    followed.chat()
    followed.until("completed")
    followed.follow()
    assert [event["used"] for event in followed.replay() if event["type"] == "budget.warning"] == [900]
    return followed


async def expire_key(context: ScenarioContext, key: str) -> None:
    """Insert a key that was used a week ago, and wait until the sweep has removed it."""

    async def used_long_ago(tx: Transaction) -> None:
        at = await tx.now() - 8 * 86_400_000
        assert await tx.insert(Submission("local", key, "of another body", "no run", "no conversation", at))

    async def forgotten() -> bool:
        await asyncio.to_thread(context.client.get, "/health")
        return await store.read(lambda reader: reader.get(Submission, user_id="local", idempotency_key=key)) is None

    async with open_store(context.client.engine.database, pool_size=1) as store:
        await store.transaction(used_long_ago)
        await eventually(forgotten, what="the key's being forgotten")


async def make_old(context: ScenarioContext, followed: FollowedRun) -> None:
    """Pretend that the last activity of the conversation was a month ago."""

    async def body(tx: Transaction) -> None:
        at = await tx.now() - 30 * 86_400_000
        assert await tx.change(Conversation, {"id": followed.conversation_id}, updated_at=at)

    async with open_store(context.client.engine.database, pool_size=1) as store:
        await store.transaction(body)


async def wait_until_erased(context: ScenarioContext, followed: FollowedRun) -> str:
    """Wait until the sweep has erased the conversation; return the state of its execution, which remains."""
    await wait_until_messages_erased(context, followed)
    async with open_store(context.client.engine.database, pool_size=1) as store:
        [kept] = await store.read(lambda reader: reader.find(Execution, {"run_id": followed.run_id}))
    return kept.state


async def wait_until_messages_erased(context: ScenarioContext, followed: FollowedRun) -> None:
    """Wait until the sweep has erased the conversation."""

    async def done() -> bool:
        await asyncio.to_thread(context.client.get, "/health")
        found = await store.read(lambda reader: reader.get(Conversation, id=followed.conversation_id))
        return found is not None and found.deleted_at is not None and found.erase_due is None

    of = {"run_id": followed.run_id}
    async with open_store(context.client.engine.database, pool_size=1) as store:
        await eventually(done, what="the erasure")
        assert await store.read(lambda reader: reader.find(Message, of)) == []
