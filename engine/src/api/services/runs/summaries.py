"""Store and find the summaries of a conversation's older messages."""

from collections.abc import Sequence
from dataclasses import dataclass

from src.api.agent.context import CompactionResult
from src.api.errors import RunFenced
from src.api.ports import Ids, Reader, Store, Transaction
from src.api.schemas.events import CompactionFailed, ContextCompacted, Event
from src.api.schemas.query import Where
from src.api.schemas.records import ConversationSummary, Message
from src.api.services.lease import Lease
from src.api.services.runs.usage import build_model_call, build_usage_event, has_tokens
from src.api.services.streaming.journal import Journal
from src.api.utils.canonical import canonical
from src.api.utils.json_columns import load_list

__all__ = ["Summaries", "choose_summary", "drop_covered", "find_versions"]

VERSIONS = 20
"""Newest versions that are looked at: the later ones may cover messages that were replaced since."""


@dataclass(frozen=True, slots=True)
class Summaries:
    """Store summaries under the lease of the run that made them."""

    store: Store
    journal: Journal
    ids: Ids

    async def save(self, lease: Lease, result: CompactionResult) -> None:
        """Store the summary and its usage, or record the failure, in one transaction. Raises `RunFenced`."""
        summary_id, call_id = self.ids.new(), self.ids.new()

        async def body(tx: Transaction) -> None:
            run = await self.journal.lock_as_owner(tx, lease.run_id, lease.fence)
            now = await tx.now()
            events: list[Event] = []
            if has_tokens(result.usage):
                events.append(build_usage_event("summary", result.model, result.usage))
                await tx.insert(build_model_call(call_id, run, result.model, result.usage, None, now))
            if result.error is None:
                summary = await _insert(tx, summary_id, lease, result, now)
                events.append(_compacted(summary))
            else:
                events.append(CompactionFailed(type="context.compaction_failed", error=result.error, code=result.code))
            await self.journal.record_locked(tx, run, events, now)

        await self.store.transaction(body)


async def find_versions(reader: Reader, conversation_id: str) -> list[ConversationSummary]:
    """Return the newest versions of the conversation's summary, newest first."""
    return await reader.find(ConversationSummary, {"conversation_id": conversation_id}, "-version", VERSIONS)


async def choose_summary(
    reader: Reader, versions: Sequence[ConversationSummary], run_id: str
) -> ConversationSummary | None:
    """Return the newest version of which no message was replaced since, for this run.

    Replacing a message hides it with all later ones, so the last run that a summary covers tells. A run whose own
    message was replaced goes on with it.
    """
    if not versions:
        return None
    ends: Where = {"run_id": tuple({each.until_run_id for each in versions}), "hidden": True}
    replaced = {each for each in await reader.distinct(Message, "run_id", ends) if each != run_id}
    return next((each for each in versions if each.until_run_id not in replaced), None)


def drop_covered(messages: Sequence[Message], summary: ConversationSummary, run_id: str) -> list[Message]:
    """Return the messages, in order, that the summary does not stand for. The run's own question always stays."""
    covers = (
        at
        for at, each in enumerate(messages)
        if each.run_id == summary.until_run_id and each.turn <= summary.until_turn
    )
    last = max(covers, default=-1)
    kept = set(load_list(summary.kept))
    return [
        each
        for at, each in enumerate(messages)
        if at > last or each.id in kept or (each.run_id == run_id and each.turn == 0)
    ]


async def _insert(
    tx: Transaction, summary_id: str, lease: Lease, result: CompactionResult, now: int
) -> ConversationSummary:
    of: Where = {"conversation_id": lease.conversation_id}
    newest = await tx.find(ConversationSummary, of, "-version", 1)
    coverage = result.coverage
    summary = ConversationSummary(
        id=summary_id,
        conversation_id=lease.conversation_id,
        run_id=lease.run_id,
        version=newest[0].version + 1 if newest else 1,
        until_run_id=coverage.until_run_id,
        until_turn=coverage.until_turn,
        kept=canonical(list(coverage.kept)),
        messages=coverage.messages,
        content=result.text,
        model=result.model[:200],
        created_at=now,
    )
    if not await tx.insert(summary):
        raise RunFenced("Another run has summarised this conversation.")
    return summary


def _compacted(summary: ConversationSummary) -> ContextCompacted:
    return ContextCompacted(
        type="context.compacted",
        summary_id=summary.id,
        version=summary.version,
        messages=summary.messages,
        summary=summary.content,
        model=summary.model,
    )
