"""Tools that return recorded outputs, for tests of the sandbox model."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from model_conversation import ApprovalRule, Conversation, approve_all
from tool_client import CallResult

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_sandbox.clock import SystemClock
from skyflo_sandbox.model.app import create_model

RECORDED = Path(__file__).parents[1] / "unit" / "model" / "recorded"


def recording_key(tool: str, arguments: JsonObject) -> str:
    """Return the key of a recording: `get pods -A`, `get configmaps x yaml`, `describe pods x`, `logs x previous`."""
    parts = [tool.removeprefix("k8s_")]
    parts += [str(arguments[name]) for name in ("kind", "name", "pod") if arguments.get(name)]
    parts += ["-A"] if arguments.get("all_namespaces") else []
    parts += ["yaml"] if arguments.get("output") == "yaml" else []
    parts += ["previous"] if arguments.get("previous") else []
    parts += [str(arguments[name]) for name in ("label_selector", "field_selector") if arguments.get(name)]
    return " ".join(parts)


@dataclass
class RecordedTools:
    """Outputs by key. A missing key is a `not_found` error; a text that starts with `!` is an error."""

    texts: dict[str, str] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)

    async def call(self, tool: str, arguments: JsonObject) -> CallResult:
        key = recording_key(tool.removesuffix("__preview"), arguments)
        self.seen.append(key)
        if tool.endswith("__preview"):
            return CallResult(False, "a preview", {"preconditions": {}})
        missing = f"! {arguments.get('kind')} {arguments.get('name', '')} not found [not_found, effect: none]"
        text = self.texts.get(key, missing)
        return CallResult(text.startswith("!"), text.removeprefix("! "), {})

    async def call_with_grant(self, tool: str, arguments: JsonObject, _preconditions: JsonValue) -> CallResult:
        key = recording_key(tool, arguments)
        self.seen.append(key)
        text = self.texts.get(key, "Done")
        return CallResult(text.startswith("!"), text.removeprefix("! "), {"effect": "none"})

    def with_outputs(self, changes: Mapping[str, str]) -> "RecordedTools":
        """Copy the tools with some outputs replaced."""
        return RecordedTools({**self.texts, **changes})

    def with_replaced_text(self, old: str, new: str) -> "RecordedTools":
        """Copy the tools with a text replaced in every output."""
        return RecordedTools({key: text.replace(old, new) for key, text in self.texts.items()})


def load_recording(name: str) -> RecordedTools:
    return RecordedTools(json.loads((RECORDED / f"{name}.json").read_text()))


@asynccontextmanager
async def open_recorded_conversation(
    tools: RecordedTools, approve: ApprovalRule = approve_all
) -> AsyncIterator[Conversation]:
    """Open a conversation over recorded tools."""
    transport = httpx.ASGITransport(app=create_model(SystemClock(), pace=0))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        yield Conversation(http, tools, approve)
