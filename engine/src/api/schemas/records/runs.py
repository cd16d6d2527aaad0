"""Runs, their events and model calls."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

__all__ = ["BudgetWarning", "DeferredEvent", "JournalEvent", "ModelCall", "Run", "Submission", "Tail"]


@dataclass(frozen=True, slots=True)
class Run(Record):
    """A run. `rested_at` is set while it waits for a person; `waited_ms` is how long its earlier waits took.

    `has_deferred` is set while events of the run are deferred to its next text boundary.
    """

    table = "runs"
    id: str
    conversation_id: str
    user_id: str
    state: str
    fence: int
    owner: str | None
    lease_until: int | None
    restarts: int
    stop_at: int | None
    journal: int
    rest_seq: int
    turn: int
    trigger: str
    usage: str
    error: str | None
    error_code: str | None
    created_at: int
    started_at: int | None
    updated_at: int
    ended_at: int | None
    rested_at: int | None
    waited_ms: int
    has_deferred: bool

    def waited_until(self, now: int) -> int:
        """Return how many milliseconds the run has waited for people by `now`."""
        return self.waited_ms + (max(0, now - self.rested_at) if self.rested_at is not None else 0)


@dataclass(frozen=True, slots=True)
class ModelCall(Record):
    """Usage of one model call. `cost_nano` is in billionths of a US dollar, None without a price.

    `user_id` is the user of the run, None in rows from before migration 0008.
    """

    table = "model_calls"
    id: str
    run_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nano: int | None
    ttft_ms: int | None
    created_at: int
    user_id: str | None


@dataclass(frozen=True, slots=True)
class BudgetWarning(Record):
    """A warning that was given. Its id names the budget, whom it is for, and the day, so that it is given once."""

    table = "budget_warnings"
    id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class JournalEvent(Record):
    """A committed event. `text_from` is the offset in its content at which the deltas since event n - 1 begin."""

    table = "events"
    key = ("run_id", "n")
    run_id: str
    n: int
    type: str
    body: str
    text_from: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class DeferredEvent(Record):
    """An event from another process while the owner streamed text; recorded at the next text boundary."""

    table = "deferred_events"
    id: str
    run_id: str
    body: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Submission(Record):
    table = "submissions"
    key = ("user_id", "idempotency_key")
    user_id: str
    idempotency_key: str
    body_sha256: str
    run_id: str
    conversation_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Tail:
    """What a stream reads at once: the run's state and the events after the cursor."""

    conversation_id: str
    state: str
    journal: int
    rest_seq: int
    events: tuple[JournalEvent, ...]
