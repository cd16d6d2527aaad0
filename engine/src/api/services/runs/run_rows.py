"""The rows of one run that its owner decides from. Its lease makes it the only writer of most of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from src.api.agent.context import CALL_AS_TEXT, RunSnapshot, UnfinishedGeneration
from src.api.agent.repetition import Turn, turn_of
from src.api.ports import Reader
from src.api.schemas.records import Call, Message, Run
from src.api.schemas.states import UNSETTLED
from src.api.services.lease import Lease
from src.api.services.streaming.generations import find_unfinished_generation
from src.api.services.tools.calls import latest_versions

__all__ = ["OwnedRows", "RunRows"]

MAX_CALLS = 1000
MAX_REPLIES = 50
MAX_RECENT_TURNS = 12
MAY_CHANGE = frozenset({*UNSETTLED, "unknown"})
"""Statuses of calls that `settle_call` may still change."""


@dataclass(frozen=True, slots=True)
class RunRows:
    """What the database holds of a run: its turns, replies (newest first) and calls, and a generation without an end.

    `usage` is JSON, as in the run's row. `calls` are ordered by turn (newest first), position and version.
    """

    turn: int = 0
    replies: Sequence[Message] = ()
    calls: Sequence[Call] = ()
    unfinished: UnfinishedGeneration | None = None
    usage: str = "{}"

    @property
    def is_settled(self) -> bool:
        """Whether the run may end as it is: its last turn has no calls, and no generation lacks its end."""
        return self.unfinished is None and not any(call.turn == self.turn for call in self.calls)

    def to_snapshot(self) -> RunSnapshot:
        turns_with_calls = {call.turn for call in self.calls}
        silent = (at for at, each in enumerate(self.replies) if each.turn in turns_with_calls)
        return RunSnapshot(
            turns=self.turn,
            calls=latest_versions([call for call in self.calls if call.turn == self.turn]),
            last=self.replies[0] if self.replies else None,
            silent_turns=next(silent, len(self.replies)),
            recent=_recent_turns(self.calls),
            written_calls=_count_written_calls(self.replies),
            has_output=any(each.content or each.thinking for each in self.replies),
            unfinished=self.unfinished,
        )


@dataclass(slots=True)
class OwnedRows:
    """The rows of a run in the hands of its owner, who reads only what it has not written itself.

    Turns, replies and generations are written by the owner alone. Others may change a call at any time: the gate and
    the ledger check in their transactions whatever they act on.
    """

    lease: Lease
    _rows: RunRows | None = field(init=False, default=None)
    _is_as_claimed: bool = field(init=False, default=True)
    _calls_changed: bool = field(init=False, default=False)
    _generation_began: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        if self.lease.fence == 1:  # nothing is written yet
            self._rows = RunRows()

    @property
    def _is_without_generation(self) -> bool:
        """Whether the rows are those of a run from the queue: it is new, or it rested after a complete generation."""
        return self._is_as_claimed and self.lease.was_queued

    @property
    def is_settled(self) -> bool:
        """Whether the rows as known show that no call and no generation is open."""
        rows = self.known()
        return rows is not None and rows.is_settled

    def begin_generation(self) -> None:
        """Remember that the journal may hold a generation without an end from now on."""
        self._generation_began = True

    def change_calls(self) -> None:
        """Remember that calls are about to change: the next `read` reads them."""
        self._calls_changed = True

    def known(self) -> RunRows | None:
        """Return the rows if a `read` would read nothing."""
        return None if self._calls_changed or self._generation_began else self._rows

    def final_calls(self) -> Sequence[Call] | None:
        """Return the run's calls if they are known and have all ended for good, so that nobody changes them."""
        if self._rows is None or self._calls_changed:
            return None
        return None if any(call.status in MAY_CHANGE for call in self._rows.calls) else self._rows.calls

    def forget(self) -> RunRows | None:
        """Forget everything, before a write whose outcome may stay unknown. Returns what was known."""
        known, self._rows, self._is_as_claimed = self._rows, None, False
        return known

    def add_turn(self, before: RunRows | None, run: Run, message: Message, calls: Sequence[Call]) -> None:
        """Add a committed turn to what was known before it."""
        if before is None:
            return
        replies = [message, *before.replies][:MAX_REPLIES]
        self._rows = RunRows(run.turn, replies, [*calls, *before.calls][:MAX_CALLS], usage=run.usage)
        self._calls_changed = self._generation_began = False

    async def read(self, reader: Reader) -> RunRows:
        """Read what is not known, and return all of it."""
        rows, run_id = self._rows, self.lease.run_id
        if rows is None:
            run = self.lease.run if self._is_as_claimed else await reader.get(Run, id=run_id)
            where = {"run_id": run_id, "role": "assistant"}
            replies = await reader.find(Message, where, "-turn", MAX_REPLIES)
            rows = RunRows(replies=replies) if run is None else RunRows(run.turn, replies, usage=run.usage)
        if self._rows is None or self._calls_changed:
            calls = await reader.find(Call, {"run_id": run_id}, "-turn,position,version", MAX_CALLS)
            rows = replace(rows, calls=calls)
        if self._generation_began or (self._rows is None and not self._is_without_generation):
            rows = replace(rows, unfinished=await find_unfinished_generation(reader, run_id))
        self._rows, self._calls_changed, self._generation_began = rows, False, False
        return rows


def _recent_turns(calls: Sequence[Call]) -> list[Turn]:
    """Return the calls of each turn that has some, newest first."""
    by_turn: dict[int, list[Call]] = {}
    for call in calls:
        by_turn.setdefault(call.turn, []).append(call)
    return [turn_of(by_turn[turn]) for turn in sorted(by_turn, reverse=True)[:MAX_RECENT_TURNS]]


def _count_written_calls(replies: Sequence[Message]) -> int:
    """Count the last turns in a row that are a call written as text."""
    return next((n for n, each in enumerate(replies) if each.finish_reason != CALL_AS_TEXT), len(replies))
