"""Read paginated lists of the engine."""

from src.cli.client import EngineClient, Query
from src.cli.jsontypes import JsonObject, inner, objects, text

__all__ = ["fetch_entries"]

_MAX_PAGE = 50


def fetch_entries(engine: EngineClient, path: str, query: Query, limit: int) -> list[JsonObject]:
    """Return the first `limit` entries of a list."""
    found: list[JsonObject] = []
    next_page: dict[str, str | int] = {}
    while len(found) < limit:
        page = engine.get(path, {**query, **next_page, "limit": min(_MAX_PAGE, limit - len(found))})
        found += objects(page, "data")
        cursor = text(inner(page, "pagination"), "next_cursor")
        if not cursor or not objects(page, "data"):
            break
        next_page = {"cursor": cursor}
    return found[:limit]
