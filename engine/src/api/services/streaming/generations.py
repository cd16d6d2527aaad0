"""Find and discard generations that an earlier owner of a run left unfinished."""

from collections.abc import Sequence

from src.api.agent.context import UnfinishedGeneration
from src.api.ports import Ids, Reader
from src.api.schemas.events import EVENT, Event, GenerationComplete, GenerationStart, ThinkingComplete, Token
from src.api.schemas.query import Where, gt
from src.api.schemas.records import JournalEvent
from src.api.services.streaming.journal import TextBoundary
from src.api.utils.json_columns import load_object

__all__ = ["build_discard_events", "find_unfinished_generation"]

MAX_PIECES = 1000


async def find_unfinished_generation(reader: Reader, run_id: str) -> UnfinishedGeneration | None:
    """Return the generation that was started and not completed, if any, with what the journal has of its output."""
    kinds = ("generation.start", "generation.complete")
    last = await reader.find(JournalEvent, {"run_id": run_id, "type": kinds}, "-n", 1)
    if not last or last[0].type == "generation.complete":
        return None
    pieces: Where = {"run_id": run_id, "type": ("token", "thinking.complete"), "n": gt(last[0].n)}
    rows = await reader.find(JournalEvent, pieces, "n", MAX_PIECES)
    return _build_unfinished(str(load_object(last[0].body)["generation_id"]), rows)


def _build_unfinished(generation_id: str, rows: Sequence[JournalEvent]) -> UnfinishedGeneration:
    events = [EVENT.validate_json(row.body) for row in rows]
    thoughts = [event for event in events if isinstance(event, ThinkingComplete)]
    return UnfinishedGeneration(
        generation_id,
        text="".join(event.text for event in events if isinstance(event, Token)),
        thinking="".join(event.content for event in thoughts),
        thinking_ms=sum(event.duration_ms for event in thoughts),
    )


def build_discard_events(generation_id: str, ids: Ids) -> list[Event | TextBoundary]:
    """Build the events that replace an unfinished generation with an empty one, so that clients drop its text."""
    empty = ids.new()
    start = GenerationStart(
        type="generation.start", generation_id=empty, model="engine", tools_available=0, replaces=generation_id
    )
    end = GenerationComplete(
        type="generation.complete",
        generation_id=empty,
        content="",
        tool_calls=0,
        tokens_generated=0,
        finish_reason="error",
    )
    return [start, TextBoundary(end)]
