"""Lists of the engine, page by page, up to a bound."""

from src.cli.client import Engine, Query
from src.cli.jsontypes import JsonObject, inner, objects, text

__all__ = ["entries"]

_MOST_AT_ONCE = 50


def entries(engine: Engine, path: str, query: Query, limit: int) -> list[JsonObject]:
    """The first ones, at most `limit`."""
    found: list[JsonObject] = []
    more: dict[str, str | int] = {}
    while len(found) < limit:
        page = engine.get(path, {**query, **more, "limit": min(_MOST_AT_ONCE, limit - len(found))})
        found += objects(page, "data")
        cursor = text(inner(page, "pagination"), "next_cursor")
        if not cursor or not objects(page, "data"):
            break
        more = {"cursor": cursor}
    return found[:limit]
