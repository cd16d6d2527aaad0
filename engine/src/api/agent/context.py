"""What a turn needs of the world, as protocols: the nodes hold no rows, no clients and no clocks of their own."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from src.api.ports import Bus, Clock, Ids, Model, ToolSpec, Usage
from src.api.schemas.events import Event
from src.api.schemas.records import Call, Message
from src.api.utils.failpoints import Failpoints

__all__ = ["Desk", "History", "Lease", "NewCall", "RunContext", "Said", "Situation", "TextEnd", "unless_halted"]

T = TypeVar("T")


class Lease(Protocol):
    """The hold on the run."""

    run_id: str
    halted: asyncio.Event

    def check(self) -> None:
        """Raises `RunStopped` or `RunFenced` where nothing new may start any more."""


@dataclass(frozen=True, slots=True)
class History:
    """The conversation as the rows tell it, oldest first: what was not folded away, and every call's newest version."""

    messages: Sequence[Message]
    calls: Sequence[Call]


@dataclass(frozen=True, slots=True)
class Situation:
    """Where the run stands: its turns, the calls of the last one, what was said last, and turns without calls since.

    `spoken` is whether there was any text or thinking yet; `unfinished` a generation that an owner began and died over.
    """

    turns: int
    calls: Sequence[Call]
    last: Message | None
    silent_turns: int
    spoken: bool
    unfinished: str | None


@dataclass(frozen=True, slots=True)
class NewCall:
    """A call that the model asked for. With a `problem` it is settled at once, and the model is told."""

    provider_id: str
    tool: str
    args: str
    spec: ToolSpec | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class TextEnd:
    """The end of a streamed text: its event, and where in its content the deltas since the last number begin."""

    event: Event
    start: int = 0


@dataclass(frozen=True, slots=True)
class Said:
    """One turn of the model, whole or as far as it came. `ends` close the texts that are still open."""

    generation_id: str
    model: str
    text: str
    thinking: str
    thinking_ms: int
    finish_reason: str
    usage: Usage
    ends: Sequence[TextEnd]
    calls: Sequence[NewCall] = ()
    ttft_ms: int | None = None


class Desk(Protocol):
    """The rows of one run, in the hands of its owner. Every write is fenced: it raises `RunFenced`."""

    async def specs(self) -> Mapping[str, ToolSpec]:
        """The tools that this run's person may use."""

    async def situation(self) -> Situation:
        """Where the run stands, read now."""

    async def handed_on(self) -> Situation:
        """What the last `situation` read, for the node that comes next; read now when that has been taken."""

    async def history(self) -> History: ...

    async def note(self, events: Sequence[TextEnd]) -> int:
        """Records events at a border of the text; the journal's number after them, on which deltas build."""

    async def commit_turn(self, said: Said) -> None:
        """The assistant's message and its calls in one transaction, before anything acts on them."""

    async def run_reads(self, calls: Sequence[Call]) -> None: ...

    async def run_change(self, call: Call) -> None: ...

    async def propose(self, calls: Sequence[Call]) -> bool:
        """Previews and asks for the pending changes; True if the run rests now, waiting for a person."""

    async def finish(self, *, failed: str | None = None, code: str | None = None, stopped: bool = False) -> None:
        """Ends the run."""


@dataclass(frozen=True, slots=True)
class RunContext:
    """One leg of a run: what its nodes work with. `since` is when a person began to wait for it, in ms."""

    lease: Lease
    desk: Desk
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
    since: int
    failpoints: Failpoints
    answering: Callable[[], None]


async def unless_halted(lease: Lease, work: Awaitable[T]) -> T:
    """Awaits the work, and cancels it as soon as the run must not go on; raises what `lease.check` says then."""
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
