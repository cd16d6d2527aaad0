"""What a diagnosis returns: causes with their evidence, and fixes."""

from dataclasses import dataclass

from skyflo_sandbox.model.markdown import code, quote
from skyflo_sandbox.model.plan import Call, ObjectRef
from skyflo_sandbox.model.tool_output import Event

__all__ = ["Finding", "Fix", "quote_event"]


@dataclass(frozen=True)
class Fix:
    """A change that the evidence supports. `why` explains it; `verify` is the object to check afterwards."""

    call: Call
    why: str
    verify: ObjectRef


@dataclass(frozen=True)
class Finding:
    """A cause with its evidence. `advice` says what to do where no fix is evident."""

    what: str
    evidence: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    fix: Fix | None = None
    advice: str = ""


def quote_event(event: Event) -> str:
    """Format an event with its message and count."""
    times = f" ({event.count} times)" if event.count > 1 else ""
    return f"event {event.reason} on {code(event.object)}: {quote(event.message)}{times}"
