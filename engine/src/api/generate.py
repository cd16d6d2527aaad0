"""Writes the contract into docs/: `python -m src.api.generate`, or with `--check` says whether it is current."""

import sys
from pathlib import Path
from typing import Any

import orjson

from src.api.asgi import create_application
from src.api.config.settings import CHECKOUT, Settings
from src.api.schemas.base import JsonObject
from src.api.schemas.events import wire_schema
from src.api.schemas.sse import MEDIA_TYPE

__all__ = ["documents", "main"]

_PROBLEM: JsonObject = {"$ref": "#/components/schemas/Problem"}


def documents() -> dict[Path, str]:
    """Each generated file with what it must hold, whatever the settings of this machine."""
    app = create_application(Settings.model_construct())
    docs = CHECKOUT / "docs"
    return {
        docs / "openapi.json": _text(_with_problems(app.openapi())),
        docs / "events.schema.json": _text(wire_schema()),
    }


def _with_problems(document: dict[str, Any]) -> JsonObject:
    """FastAPI says that errors come in the type of the route's own answer; ours are problems everywhere.

    And it says that a stream is one string: ours is a sequence of events.
    """
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"]["default"]["content"] = {"application/problem+json": {"schema": _PROBLEM}}
            stream = operation["responses"].get("200", {}).get("content", {}).get(MEDIA_TYPE, {})
            stream.pop("schema", None)
    return document


def main(arguments: list[str]) -> int:
    """Writes what has changed; with `--check` only names it. The exit code."""
    stale = [path for path, text in documents().items() if not path.exists() or path.read_text() != text]
    if "--check" in arguments:
        for path in stale:
            print(f"{path.relative_to(CHECKOUT)} is not current: run make generate", file=sys.stderr)
        return 1 if stale else 0
    for path, text in documents().items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return 0


def _text(document: JsonObject) -> str:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
