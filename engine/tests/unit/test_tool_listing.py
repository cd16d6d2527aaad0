"""Test what is accepted from a tool list, and how grants and previews are read."""

import jwt
import mcp_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skyflo_common.redaction import Redactor
from src.api.adapters.tools.grants import sign
from src.api.adapters.tools.listing import MAX_TOOLS, Listing, build_catalog, read_listing
from src.api.adapters.tools.previews import read_evidence, read_preview, read_settlement
from src.api.adapters.tools.results import ReplyBuilder
from src.api.adapters.tools.sanitize import MAX_CONTENT, bounded_content, bounded_object
from src.api.ports import Grant, Preview, ToolReply
from src.api.schemas.base import Json, JsonObject
from src.api.services.limits import Limits
from src.api.utils.canonical import canonical, sha256

KEY = "a key of the tests that is long enough for it"
REDACTOR = Redactor(KEY.encode())


def tool(name: str = "look", *, meta: dict[str, object] | None = None, **fields: object) -> mcp_types.Tool:
    said = {"name": name, "inputSchema": {"type": "object"}, "_meta": meta, **fields}
    return mcp_types.Tool.model_validate(said)


def listed(*tools: mcp_types.Tool, trusted: bool = True) -> Listing:
    return read_listing("own", tools, trusted=trusted, at=0)


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    ("hints", "trusted", "read"),
    [
        ({"readOnlyHint": True}, True, True),
        ({"readOnlyHint": True}, False, False),
        ({"readOnlyHint": True, "destructiveHint": True}, True, False),
        ({"readOnlyHint": False}, True, False),
        ({}, True, False),
        (None, True, False),
    ],
)
def test_only_trusted_servers_can_mark_a_tool_read_only(hints: object, trusted: bool, read: bool) -> None:
    spec = listed(tool(annotations=hints), trusted=trusted).tools["look"].spec
    assert spec.read is read


@pytest.mark.promise("fail-closed")
@pytest.mark.parametrize(
    "companion",
    [
        tool("look_first", annotations={"readOnlyHint": True}),
        tool("look_first", meta={"skyflo/internal": True}),
        tool("look_first", meta={"skyflo/internal": True}, annotations={"readOnlyHint": False}),
        tool("something_else", meta={"skyflo/internal": True}, annotations={"readOnlyHint": True}),
    ],
)
def test_preview_tool_that_can_change_something_is_ignored(companion: mcp_types.Tool) -> None:
    change = tool("change", meta={"skyflo/preview": "look_first"})
    assert listed(change, companion).tools["change"].spec.preview is None


@pytest.mark.promise("bound")
@pytest.mark.parametrize(
    "change", [{"annotations": {"readOnlyHint": True}}, {"inputSchema": {"type": "object", "minProperties": 1}}]
)
def test_the_hash_covers_schema_and_hints(change: JsonObject) -> None:
    before, after = listed(tool()), listed(tool(**change))
    assert before.tools["look"].spec.schema_hash != after.tools["look"].spec.schema_hash
    assert before.tools == listed(tool()).tools


@pytest.mark.promise("bounded")
def test_lists_names_and_descriptions_are_bounded_and_clean() -> None:
    odd = tool("do.it/now! " * 20, title="a\u202eb\x00c\n" * 100, description="x\x1b[31m\ud800" * 5000)
    found = listed(odd, *(tool(f"t{n}") for n in range(MAX_TOOLS + 10)), trusted=False)
    spec = found.tools[odd.name].spec
    assert len(found.tools) == MAX_TOOLS
    assert len(spec.name) == 64
    assert set(spec.name) <= set("doitnw_")
    assert len(spec.title) <= 100
    assert len(spec.description) < 4200
    assert not set("\x00\x1b\u202e\ud800") & set(spec.title + spec.description)


@pytest.mark.promise("bounded")
def test_a_tool_with_a_huge_schema_or_a_repeated_name_is_left_out() -> None:
    huge = tool("huge", inputSchema={"type": "object", "description": "x" * 100_000})
    assert list(listed(huge, tool(), tool()).tools) == ["look"]


def test_clashing_names_get_their_server_as_prefix() -> None:
    catalog = build_catalog([("one", listed(tool("a.b"), tool("a_b"))), ("two", listed(tool("a_b"), tool("c")))])
    assert {name: (server, found.wire_name) for name, (server, found) in catalog.tools.items()} == {
        "a_b": ("one", "a.b"),
        "one__a_b": ("one", "a_b"),
        "two__a_b": ("two", "a_b"),
        "c": ("two", "c"),
    }


@pytest.mark.promise("bounded")
def test_content_is_truncated_in_total_with_a_note() -> None:
    blocks: list[JsonObject] = [
        {"type": "text", "text": "x" * (MAX_CONTENT - 10)},
        {"type": "image", "mimeType": "image/png", "data": "y" * 100},
        {"type": "text", "text": "z" * 100},
    ]
    kept = bounded_content([*blocks, *([{"type": "text", "text": ""}] * 200)])
    assert kept[1] == {"type": "text", "text": "… content of type image, image/png (144 characters) was left out"}
    assert str(kept[2]).count("z") <= 10
    assert "103 more content blocks" in str(kept[-1])
    assert bounded_object({"x": "y" * MAX_CONTENT})[0] is None
    assert "was left out" in str(bounded_object({"x": "y" * MAX_CONTENT})[1])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.promise("bound")
@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_grant_names_the_approved_text_and_its_call(arguments: JsonObject) -> None:
    try:
        args = canonical(arguments)
    except Exception:  # noqa: BLE001 - what has no canonical text is never approved
        return
    grant = Grant("approval-1", "run-1", "ada@example.org", {"uid": "u"}, expires_in=15)
    token = sign(grant, key=KEY, tool="t", args=args, arguments=arguments, now_ms=1_000_000)
    claims = jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_exp": False, "verify_iat": False})
    cluster = arguments.get("cluster")
    assert claims == {
        "jti": "approval-1",
        "tool": "t",
        "args_sha256": sha256(args),
        "cluster": cluster if isinstance(cluster, str) else None,
        "approver": "ada@example.org",
        "run_id": "run-1",
        "preconditions": {"uid": "u"},
        "iat": 1000,
        "exp": 1015,
    }


def answer(structured: Json) -> ToolReply:
    return ToolReply("succeeded", structured=structured if isinstance(structured, dict) else None)


@pytest.mark.parametrize("structured", [None, {}, {"summary": ""}, {"summary": "s", "risk": {"level": "none"}}])
def test_a_preview_that_can_not_be_read_is_refused(structured: Json) -> None:
    reply = read_preview(answer(structured))
    assert isinstance(reply, ToolReply)
    assert (reply.outcome, reply.code) == ("failed", "bad_preview")


async def test_preview_keeps_preconditions_unchanged() -> None:
    structured: JsonObject = {"preconditions": {"password": "0a1b2c3d4e5f"}, "password": "0a1b2c3d4e5f"}
    reply = await ReplyBuilder("own", True, REDACTOR, internal=True).from_content([], structured, False, change=False)
    assert reply.structured == {
        "preconditions": {"password": "0a1b2c3d4e5f"},
        "password": REDACTOR.mask("0a1b2c3d4e5f"),
    }
    shown = await ReplyBuilder("own", True, REDACTOR).from_content([], structured, False, change=False)
    assert "0a1b2c3d4e5f" not in str(shown)


def test_a_refused_preview_keeps_its_reason() -> None:
    refusal = ToolReply("failed", error="no such deployment", code="not_found", effect="none")
    assert read_preview(refusal) is refusal
    assert isinstance(read_preview(answer({"summary": "s", "risk": {"level": "low"}})), Preview)


@pytest.mark.promise("unknown")
@pytest.mark.parametrize(
    ("said", "state"),
    [
        ({"state": "never_ran", "effect": "none"}, "never_ran"),
        ({"state": "started", "effect": "unknown"}, "started"),
        ({"state": "succeeded", "effect": "done", "result": {"text": "t"}}, "succeeded"),
        ({"state": "failed", "effect": "none"}, "failed"),
        ({"state": "failed", "effect": "done"}, "succeeded"),
        ({"state": "failed", "effect": "partial"}, "cannot_tell"),
        ({"state": "failed", "effect": "unknown"}, "cannot_tell"),
        ({"state": "failed"}, "cannot_tell"),
        ({"state": "asleep"}, "cannot_tell"),
        ({"effect": "none"}, "cannot_tell"),
        (None, "cannot_tell"),
    ],
)
async def test_settling_accepts_only_definite_answers(said: Json, state: str) -> None:
    assert (await read_settlement(answer(said), ReplyBuilder("own", True, REDACTOR))).state == state


@pytest.mark.parametrize(("asked", "timeout"), [(900, 900), (1e9, 3600), (-1, 0), ("900", 0), (True, 0)])
def test_only_a_trusted_server_asks_for_more_time(asked: object, timeout: float) -> None:
    tool = mcp_types.Tool(name="t", input_schema={"type": "object"}, _meta={"skyflo/timeout": asked})
    for trusted, expected in ((True, timeout), (False, 0)):
        assert read_listing("own", [tool], trusted=trusted, at=0).tools["t"].spec.timeout == expected
    assert Limits().call_timeout(timeout, reads=False) == max(600, timeout)
    assert Limits().call_timeout(timeout, reads=True) == max(120, timeout)


def test_only_a_trusted_server_names_bodies() -> None:
    tool = mcp_types.Tool(name="t", input_schema={"type": "object"}, _meta={"skyflo/bodies": ["patch"]})
    for trusted, bodies in ((True, ("patch",)), (False, ())):
        assert read_listing("own", [tool], trusted=trusted, at=0).tools["t"].spec.bodies == bodies


@pytest.mark.parametrize("said", [None, {}, {"evidence": "surely"}])
def test_unreadable_evidence_is_ignored(said: Json) -> None:
    assert read_evidence(answer(said)).verdict == "cannot_tell"
