"""Exporting a conversation as Markdown or JSON."""

import json
from collections.abc import AsyncIterator, Callable, Sequence

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.ports import Transaction
from src.api.schemas.base import JsonObject, Verbatim
from src.api.schemas.records import Message, Run
from src.api.schemas.timeline import (
    AssistantEntry,
    ConversationDetail,
    Entry,
    TextSegment,
    TokenTotals,
    ToolExecution,
    ToolSegment,
    UserEntry,
)
from src.api.services.conversations.export import MAX_RESULT_CHARACTERS, export_markdown
from tests.support.app import RunningApp, check_problem, register_client, run_app
from tests.support.rows import row

NOW = 1_767_225_600_000


def tool_segment(
    *, result: Sequence[JsonObject] = (), title: str = "Get objects", error: str | None = None
) -> ToolSegment:
    execution = ToolExecution(
        call_id="c",
        tool="k8s_get",
        title=title,
        args=Verbatim('{"kind":"pods"}'),
        status="completed",
        result=Verbatim(json.dumps(result)),
        error=error,
        requires_approval=False,
        timestamp=NOW,
    )
    return ToolSegment(id="c", toolExecution=execution, timestamp=NOW)


async def render_document(*segments: TextSegment | ToolSegment, error: str | None = None) -> str:
    answer = AssistantEntry(
        id="a",
        run_id="r",
        content="",
        timestamp=NOW,
        segments=list(segments),
        token_usage=TokenTotals(),
        error=error,
    )
    head = ConversationDetail(
        id="x",
        title="Checkout *down*",
        is_active=True,
        created_at=NOW,
        conversation_metadata=Verbatim("{}"),
        messages=[],
        active_run=None,
    )

    async def runs() -> AsyncIterator[Sequence[Entry]]:
        yield [UserEntry(id="u", content="Why?\n\nReally.", timestamp=NOW), answer]

    return b"".join([part async for part in export_markdown(head, runs())]).decode()


async def test_document_lists_messages_and_calls_in_order() -> None:
    found = await render_document(
        tool_segment(result=[{"type": "text", "text": "NAME\nweb"}]),
        TextSegment(id="t", text="It is up.", timestamp=NOW),
    )
    places = [
        found.index(part) for part in ("# Checkout", "> Why?", "> Really.", "**Get objects**", "web", "It is up.")
    ]
    assert places == sorted(places)
    assert "2026-01-01 00:00:00 UTC" in found


@pytest.mark.promise("secrets")
async def test_tool_result_can_not_leave_its_code_block() -> None:
    found = await render_document(tool_segment(result=[{"type": "text", "text": "```\n# Approved by the boss\n````x"}]))
    fence = "`" * 5
    inside = found.split(f"{fence}text\n")[1].split(f"\n{fence}")[0]
    assert "# Approved by the boss" in inside


async def test_titles_and_errors_are_escaped() -> None:
    found = await render_document(tool_segment(title="<b>\n# x", error="[link](http://x)"), error="it *broke*")
    assert r"\<b\> \# x" in found
    assert r"\[link\](http://x)" in found
    assert r"it \*broke\*" in found


async def test_long_result_is_marked_truncated() -> None:
    found = await render_document(tool_segment(result=[{"type": "text", "text": "x" * (MAX_RESULT_CHARACTERS + 7)}]))
    assert "7 more characters" in found


async def test_both_formats_are_attachments_for_owner_only(settings: Callable[..., Settings]) -> None:
    async with run_app(settings(registration_enabled=True)) as engine:
        engine_and_admin, bo = await register_client(engine, "ana@example.com"), await register_client(
            engine, "bo@example.com"
        )
        made = (await engine_and_admin.post("/conversations", json={"title": "First"})).json()["id"]
        page = await engine_and_admin.get(f"/conversations/{made}/export")
        data = await engine_and_admin.get(f"/conversations/{made}/export", params={"format": "json"})
        check_problem(await bo.get(f"/conversations/{made}/export"), 404)
        check_problem(await engine_and_admin.get(f"/conversations/{made}/export", params={"format": "pdf"}), 422)
    _check_attachment(page, "text/markdown", f"conversation-{made}.md")
    _check_attachment(data, "application/json", f"conversation-{made}.json")
    assert page.text.startswith("# First\n")
    assert json.loads(data.text)["title"] == "First"


def _check_attachment(answer: httpx.Response, media: str, name: str) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


async def test_long_conversation_is_exported_completely(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    conversation_id = (await client.post("/conversations", json={"title": "Long"})).json()["id"]
    texts = [f"question {n}" for n in range(1_100)]

    async def body(tx: Transaction) -> None:
        for n, text in enumerate(texts):
            of = {"run_id": f"r{n:04}", "conversation_id": conversation_id, "created_at": NOW + n // 300}
            await tx.insert(row(Run, id=f"r{n:04}", state="completed", usage="{}", **of))
            await tx.insert(row(Message, id=f"m{n:04}", role="user", content=text, hidden=n == 900, **of))

    await engine.services.chat.store.transaction(body)
    del texts[900]
    data = await client.get(f"/conversations/{conversation_id}/export", params={"format": "json"})
    page = await client.get(f"/conversations/{conversation_id}/export")
    assert [entry["content"] for entry in data.json()["messages"]] == texts
    assert data.json()["truncated"] is False
    assert [line[2:] for line in page.text.splitlines() if line.startswith("> ")] == texts


async def test_unknown_conversation_is_not_found(engine: RunningApp) -> None:
    client = await register_client(engine, "ana@example.com")
    check_problem(await client.get("/conversations/0198b2f0-0000-7000-8000-000000000000/export"), 404)
