"""Build the last events of a run that rests or has ended."""

from typing import Literal

from src.api.schemas.events import Completed, Event, WorkflowComplete, WorkflowError
from src.api.schemas.records import Run

__all__ = ["FINAL_EVENTS", "build_final_event", "build_final_events"]

FINAL_EVENTS = 2
"""The number of events that `build_final_events` returns."""

RestState = Literal["awaiting_approval", "completed", "failed", "stopped"]


def build_final_events(
    run: Run, state: RestState, now: int, *, result: str = "", error: str | None = None, code: str | None = None
) -> list[Event]:
    """Return the events with which the run comes to rest in this state: its times, and what ends every stream."""
    return [
        Completed(
            type="completed",
            status="error" if state == "failed" else state,
            duration_ms=max(0, now - run.created_at),
            waited_ms=run.waited_until(now),
        ),
        build_final_event(state, result=result, error=error, code=code),
    ]


def build_final_event(state: str, *, result: str = "", error: str | None = None, code: str | None = None) -> Event:
    """Return the event that ends every stream of a run in this state, one of `RESTING`."""
    if state == "awaiting_approval":
        return WorkflowComplete(
            type="workflow_complete", status="awaiting_approval", result="Waiting for a person to decide."
        )
    if state == "failed":
        error, code = error or "The run failed.", code or "internal"
        return WorkflowError(type="workflow_error", error=error, code=code, status="error")
    return WorkflowComplete(
        type="workflow_complete", status="stopped" if state == "stopped" else "completed", result=result
    )
