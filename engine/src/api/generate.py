"""Write the API contract into docs/: `python -m src.api.generate`. `--check` only reports whether it is current."""

import sys
from pathlib import Path
from typing import Any

import orjson

from src.api.asgi import create_application
from src.api.config.settings import CHECKOUT, Settings
from src.api.schemas.base import JsonObject
from src.api.schemas.events import wire_schema
from src.api.schemas.feed import feed_schema
from src.api.schemas.sse import MEDIA_TYPE

__all__ = ["documents", "main"]

_PROBLEM: JsonObject = {"$ref": "#/components/schemas/Problem"}


def _checkout() -> Path:
    if CHECKOUT is None:
        raise SystemExit("The documents of the API are written in a checkout only.")
    return CHECKOUT


def documents() -> dict[Path, str]:
    """Return the content of each generated file, independent of this machine's settings."""
    app = create_application(Settings.model_construct())
    docs = _checkout() / "docs"
    return {
        docs / "openapi.json": _text(_with_problems(app.openapi())),
        docs / "events.schema.json": _text(wire_schema()),
        docs / "feed.schema.json": _text(feed_schema()),
    }


def _with_problems(document: dict[str, Any]) -> JsonObject:
    """Correct FastAPI's document.

    FastAPI declares errors with the content type of the route's response; ours are always problems. It also declares a
    stream as one string; ours is a sequence of events.
    """
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"]["default"]["content"] = {"application/problem+json": {"schema": _PROBLEM}}
            stream = operation["responses"].get("200", {}).get("content", {}).get(MEDIA_TYPE, {})
            stream.pop("schema", None)
    return document


def main(arguments: list[str]) -> int:
    """Write changed files, or only name them with `--check`. Returns the exit code."""
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(_checkout())} is not current: run make generate", file=sys.stderr)
        return 1 if stale else 0
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


def _text(document: JsonObject) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
