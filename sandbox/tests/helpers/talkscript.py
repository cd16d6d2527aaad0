"""Tools whose texts were recorded from real ones, for tests of what the sandbox model makes of them."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from talkdriver import Approve, Conversation, approved
from toolkit import Result

from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.model.app import create_model

RECORDED = Path(__file__).parents[1] / "unit" / "model" / "recorded"


def key_of(tool: str, arguments: JsonObject) -> str:
    """`get pods -A`, `get configmaps x yaml`, `describe pods x`, `logs x previous`: what a recording is found by."""
    parts = [tool.removeprefix("k8s_")]
    parts += [str(arguments[name]) for name in ("kind", "name", "pod") if arguments.get(name)]
    parts += ["-A"] if arguments.get("all_namespaces") else []
    parts += ["yaml"] if arguments.get("output") == "yaml" else []
    parts += ["previous"] if arguments.get("previous") else []
    parts += [str(arguments[name]) for name in ("label_selector", "field_selector") if arguments.get(name)]
    return " ".join(parts)


@dataclass
class Shelf:
    """Texts by key. What is not there is `not_found`; a text that begins with `!` is an error."""

    texts: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    async def call(self, tool: str, arguments: JsonObject) -> Result:
        key = key_of(tool.removesuffix("__preview"), arguments)
        self.seen.append(key)
        if tool.endswith("__preview"):
            return Result(False, "a preview", {"preconditions": {}})
        missing = f"! {arguments.get('kind')} {arguments.get('name', '')} not found [not_found, effect: none]"
        text = self.texts.get(key, missing)
        return Result(text.startswith("!"), text.removeprefix("! "), {})

    async def granted(self, tool: str, arguments: JsonObject, _preconditions: JsonValue) -> Result:
        key = key_of(tool, arguments)
        self.seen.append(key)
        text = self.texts.get(key, "Done")
        return Result(text.startswith("!"), text.removeprefix("! "), {"effect": "none"})

    def changed(self, changes: Mapping[str, str]) -> "Shelf":
        """Another shelf on which some texts differ."""
        return Shelf({**self.texts, **changes})

    def reworded(self, old: str, new: str) -> "Shelf":
        """Another shelf on which a word stands in every text for another."""
        return Shelf({key: text.replace(old, new) for key, text in self.texts.items()})


def recorded(name: str) -> Shelf:
    return Shelf(json.loads((RECORDED / f"{name}.json").read_text()))


@asynccontextmanager
async def talking_over(shelf: Shelf, approve: Approve = approved) -> AsyncIterator[Conversation]:
    """A conversation over recorded tools."""
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Conversation(http, shelf, approve)
