"""Generations of a run's text that were begun and not ended, because their owner died over them."""

from src.api.ports import Ids, Reader
from src.api.schemas.events import Event, GenerationComplete, GenerationStart
from src.api.schemas.records import JournalEvent
from src.api.services.journal import EndOfText
from src.api.utils.shown import shown_object

__all__ = ["dropped", "unfinished"]


async def unfinished(reader: Reader, run_id: str) -> str | None:
    """The generation that the journal saw begin and not end."""
    kinds = ("generation.start", "generation.complete")
    last = await reader.find(JournalEvent, {"run_id": run_id, "type": kinds}, "-n", 1)
    if not last or last[0].type == "generation.complete":
        return None
    return str(shown_object(last[0].body)["generation_id"])


def dropped(generation_id: str, ids: Ids) -> list[Event | EndOfText]:
    """Takes back what clients have of a generation that nobody will end: an empty one replaces it."""
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
    return [start, EndOfText(end)]
