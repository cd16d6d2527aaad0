"""The protocols that a turn depends on. Graph nodes hold no rows, clients or clocks themselves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from skyflo_common.redaction import Redactor
from src.api.agent.repetition import Turn
from src.api.ports import Bus, Clock, Ids, Model, NoTracing, ProviderState, ToolSpec, Tracing, Usage
from src.api.schemas.base import JsonObject
from src.api.schemas.events import Event
from src.api.schemas.records import Call, ConversationSummary, Execution, Message
from src.api.utils.failpoints import Failpoints

__all__ = [
    "CALL_AS_TEXT",
    "CompactionResult",
    "CompactionState",
    "History",
    "ModelReply",
    "NewCall",
    "RunContext",
    "RunLease",
    "RunSession",
    "RunSnapshot",
    "SummaryCoverage",
    "TextCheckpoint",
    "UnfinishedGeneration",
    "unless_halted",
]

T = TypeVar("T")

CALL_AS_TEXT = "call_as_text"
"""The finish reason of a turn whose text is a tool call that the model's host did not turn into one."""


class RunLease(Protocol):
    """The hold on the run."""

    run_id: str
    halted: asyncio.Event

    def check(self) -> None:
        """Raises `RunStopped` or `RunFenced` where nothing new may start any more."""


@dataclass(frozen=True, slots=True)
class History:
    """The conversation's messages, oldest first and without hidden ones, and every version of every call.

    `executions` are those of the changes that failed, by the id of their call. Messages that `summary` covers are
    left out.
    """

    messages: Sequence[Message]
    calls: Sequence[Call]
    executions: Mapping[str, Execution]
    summary: ConversationSummary | None = None


@dataclass(frozen=True, slots=True)
class SummaryCoverage:
    """Which messages a summary covers, see `ConversationSummary`. `kept` are ids of messages."""

    until_run_id: str
    until_turn: int
    kept: tuple[str, ...]
    messages: int


@dataclass(frozen=True, slots=True)
class CompactionResult:
    """The end of one request for a summary: its text, or the error (for people) and its code."""

    model: str
    usage: Usage
    coverage: SummaryCoverage
    text: str = ""
    error: str | None = None
    code: str = ""


@dataclass(slots=True)
class CompactionState:
    """When older messages are summarised: `percent` of the window, 0 for never. After a failure, this claim stops."""

    redactor: Redactor
    percent: int = 0
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class UnfinishedGeneration:
    """A generation without an end, and its output so far. `thinking_ms` is how long the model thought."""

    generation_id: str
    text: str = ""
    thinking: str = ""
    thinking_ms: int = 0

    @property
    def has_output(self) -> bool:
        return bool(self.text or self.thinking)


@dataclass(frozen=True, slots=True)
class RunSnapshot:
    """The state of a run: its turns, the last turn's calls and message, and the turns without calls since the last
    call.

    `recent` are the calls of the latest turns that have some, newest first. `written_calls` counts how many of the last
    turns in a row were a call that the model wrote as text. `has_output` is whether the run has text or thinking yet.
    `unfinished` is a generation that an earlier owner of the run began and did not complete.
    """

    turns: int
    calls: Sequence[Call]
    last: Message | None
    silent_turns: int
    recent: Sequence[Turn]
    written_calls: int
    has_output: bool
    unfinished: UnfinishedGeneration | None


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that the model requested. `state` is what the provider expects back with it.

    One with a `problem` is settled at once and the problem goes back to the model.
    """

    provider_id: str
    tool: str
    args: str
    spec: ToolSpec | None
    problem: str | None = None
    state: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class TextCheckpoint:
    """An event that ends a streamed text, and the offset in its content at which the deltas since the last number
    begin.
    """

    event: Event
    start: int = 0


@dataclass(frozen=True, slots=True)
class ModelReply:
    """The model's output of one turn, complete or partial. `ends` close the texts that are still open.

    `state` must go back to the provider with this turn.
    """

    generation_id: str
    model: str
    text: str
    thinking: str
    thinking_ms: int
    finish_reason: str
    usage: Usage
    ends: Sequence[TextCheckpoint]
    calls: Sequence[NewCall] = ()
    ttft_ms: int | None = None
    state: ProviderState | None = None


class RunSession(Protocol):
    """The rows of one run, in the hands of its owner. Every write is fenced: it raises `RunFenced`."""

    async def specs(self) -> Mapping[str, ToolSpec]:
        """Return the tools that this run's user may use."""

    async def snapshot(self) -> RunSnapshot:
        """Return the state of the run. Only what was not written by its owner, or may have changed, is read."""

    async def history(self) -> History: ...

    async def record_events(self, events: Sequence[TextCheckpoint]) -> int:
        """Record events at a text boundary. Returns the journal number that later deltas build on."""

    async def commit_turn(self, said: ModelReply) -> None:
        """Store the assistant's message and its calls in one transaction, before any call runs."""

    async def save_summary(self, result: CompactionResult) -> None:
        """Store a summary with its usage, or record that there is none and why, in one transaction."""

    async def check_budgets(self, *, warns: bool) -> None:
        """Raise `BudgetReached` if no further model call is allowed. With `warns`, warn at 80 % of a budget, once.

        A warning is an event: `warns` only where no text is open.
        """

    async def run_reads(self, calls: Sequence[Call]) -> None: ...

    async def run_change(self, call: Call) -> None: ...

    async def propose(self, calls: Sequence[Call]) -> bool:
        """Preview pending changes and request approval. Returns True if the run now waits for a person."""

    async def finish(self, *, failed: str | None = None, code: str | None = None, stopped: bool = False) -> None:
        """End the run."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """One claim of a run: what its nodes work with. `since` is when a person began to wait for it, in ms.

    `turn_timeout` is the time for one turn of the model with all its attempts, in seconds.
    """

    lease: RunLease
    session: RunSession
    model: Model
    bus: Bus
    clock: Clock
    ids: Ids
    model_name: str
    temperature: float | None
    facts: tuple[str, ...]
    max_turns: int
    max_auto_continue: int
    max_attempts: int
    turn_timeout: float
    since: int
    failpoints: Failpoints
    on_model_output: Callable[[], None]
    compaction: CompactionState
    tracing: Tracing = field(default_factory=NoTracing)


async def unless_halted(lease: RunLease, work: Awaitable[T]) -> T:
    """Await `work`, but cancel it as soon as the run must stop; then raise the error of `lease.check`."""
    task = asyncio.ensure_future(work)
    halted = asyncio.ensure_future(lease.halted.wait())
    try:
        await asyncio.wait({task, halted}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            lease.check()
        return await task
    finally:
        halted.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
