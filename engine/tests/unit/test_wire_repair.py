"""What is repaired in, and dropped from, the messages of a tool server before the MCP client reads them."""

import json

import mcp_types
import pytest
from anyio import EndOfStream
from hypothesis import given
from hypothesis import strategies as st
from mcp.shared.message import SessionMessage

from src.api.adapters.tools.link import PacedStream
from src.api.adapters.tools.listing import read_listing
from src.api.adapters.tools.wire_repair import (
    UNREADABLE_META,
    drop_unreadable_tools,
    replace_lone_surrogates,
    split_escape,
)
from tests.support.clock import FakeClock


@given(st.text(alphabet=st.sampled_from(["\ud83d", "\ude00", "\\", "u", '"', "a", "\n", "😀"])), st.integers(1, 7))
def test_half_an_emoji_becomes_a_replacement_character_in_any_pieces(text: str, size: int) -> None:
    data = json.dumps(text).encode()
    repaired, held = b"", b""
    for at in range(0, len(data), size):
        whole, held = split_escape(held + data[at : at + size])
        repaired += replace_lone_surrogates(whole)
    repaired += replace_lone_surrogates(held)
    assert json.loads(repaired) == replace_lone(text)


def replace_lone(text: str) -> str:
    """Return what a JSON reader makes of the text's escapes, with lone halves replaced."""
    joined = json.loads(json.dumps(text))
    return "".join("\ufffd" if "\ud800" <= character <= "\udfff" else character for character in joined)


@pytest.mark.parametrize("version", ["2025-06-18", "2025-11-25"])
def test_one_unreadable_entry_does_not_hide_the_others(version: str) -> None:
    good = {"name": "good", "inputSchema": {"type": "object"}, "outputSchema": {"type": "banana"}, "icons": 7}
    entries = [good, {"name": "array", "inputSchema": {"type": "array"}}, {"name": "bare"}, "text", None]
    page = drop_unreadable_tools({"tools": entries, "nextCursor": "c"}, version)
    assert [tool["name"] for tool in page["tools"]] == ["good"]
    assert page["_meta"][UNREADABLE_META] == ["array", "bare", "", ""]
    assert page["nextCursor"] == "c"


def test_entries_beyond_the_limit_keep_their_names_only() -> None:
    entries = [{"name": f"t{number}", "description": "x", "inputSchema": {"type": "object"}} for number in range(6)]
    page = drop_unreadable_tools({"tools": [None, *entries]}, "2025-06-18", {"t5"}, most=3)
    assert [tool["name"] for tool in page["tools"]] == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert [tool.get("description") for tool in page["tools"]] == ["x", "x", None, None, None, "x"]
    tools = [mcp_types.Tool.model_validate(tool) for tool in page["tools"]]
    listing = read_listing("s", tools, trusted=True, at=0)
    assert (list(listing.tools), [each.count for each in listing.omitted]) == (["t0", "t1", "t5"], [3])


class Messages:
    """A stream of messages."""

    def __init__(self, messages: list[mcp_types.JSONRPCMessage]) -> None:
        self._messages = messages

    async def receive(self) -> SessionMessage | Exception:
        if not self._messages:
            raise EndOfStream
        return SessionMessage(self._messages.pop(0))

    async def aclose(self) -> None:
        self._messages.clear()


@pytest.mark.promise("bounded")
async def test_flood_of_unasked_messages_is_dropped_and_answers_pass() -> None:
    unasked = mcp_types.JSONRPCNotification(jsonrpc="2.0", method="notifications/progress")
    answer = mcp_types.JSONRPCResponse(jsonrpc="2.0", id=1, result={})
    asked = mcp_types.JSONRPCRequest(jsonrpc="2.0", id=1, method="ping")
    stream = PacedStream(Messages([*[unasked] * 4000, *[asked] * 4000, answer]), FakeClock(), lambda item: item)
    passed = [item.message for item in [each async for each in stream] if isinstance(item, SessionMessage)]
    assert len(passed) == 2001
    assert passed[-1] is answer
