"""Exporting a conversation: a document for people, and its timeline as JSON."""

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
from src.api.services.export import RESULT_CHARACTERS, as_markdown
from tests.support.app import Running, newcomer, problem, running
from tests.support.rows import row

NOW = 1_767_225_600_000


def a_tool(*, result: Sequence[JsonObject] = (), title: str = "Get objects", error: str | None = None) -> ToolSegment:
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


async def the_document(*segments: TextSegment | ToolSegment, error: str | None = None) -> str:
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

    return b"".join([part async for part in as_markdown(head, runs())]).decode()


async def test_what_was_asked_done_and_answered_stands_in_order() -> None:
    found = await the_document(
        a_tool(result=[{"type": "text", "text": "NAME\nweb"}]), TextSegment(id="t", text="It is up.", timestamp=NOW)
    )
    places = [
        found.index(part) for part in ("# Checkout", "> Why?", "> Really.", "**Get objects**", "web", "It is up.")
    ]
    assert places == sorted(places)
    assert "2026-01-01 00:00:00 UTC" in found


@pytest.mark.promise("secrets")
async def test_what_a_tool_returned_can_not_leave_its_block() -> None:
    found = await the_document(a_tool(result=[{"type": "text", "text": "```\n# Approved by the boss\n````x"}]))
    fence = "`" * 5
    inside = found.split(f"{fence}text\n")[1].split(f"\n{fence}")[0]
    assert "# Approved by the boss" in inside


async def test_titles_and_errors_are_no_markdown() -> None:
    found = await the_document(a_tool(title="<b>\n# x", error="[link](http://x)"), error="it *broke*")
    assert r"\<b\> \# x" in found
    assert r"\[link\](http://x)" in found
    assert r"it \*broke\*" in found


async def test_a_long_result_is_cut_and_says_so() -> None:
    found = await the_document(a_tool(result=[{"type": "text", "text": "x" * (RESULT_CHARACTERS + 7)}]))
    assert "7 more characters" in found


async def test_both_forms_are_files_for_those_who_may_see_it(settings: Callable[..., Settings]) -> None:
    async with running(settings(registration_enabled=True)) as engine:
        ana, bo = await newcomer(engine, "ana@example.com"), await newcomer(engine, "bo@example.com")
        made = (await ana.post("/conversations", json={"title": "First"})).json()["id"]
        page = await ana.get(f"/conversations/{made}/export")
        data = await ana.get(f"/conversations/{made}/export", params={"format": "json"})
        problem(await bo.get(f"/conversations/{made}/export"), 404)
        problem(await ana.get(f"/conversations/{made}/export", params={"format": "pdf"}), 422)
    _is_a_file(page, "text/markdown", f"conversation-{made}.md")
    _is_a_file(data, "application/json", f"conversation-{made}.json")
    assert page.text.startswith("# First\n")
    assert json.loads(data.text)["title"] == "First"


def _is_a_file(answer: httpx.Response, media: str, name: str) -> None:
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith(media)
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


async def test_a_conversation_of_any_length_is_exported_whole(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, client = ana
    here = (await client.post("/conversations", json={"title": "Long"})).json()["id"]
    texts = [f"question {n}" for n in range(1_100)]

    async def body(tx: Transaction) -> None:
        for n, text in enumerate(texts):
            of = {"run_id": f"r{n:04}", "conversation_id": here, "created_at": NOW + n // 300}
            await tx.insert(row(Run, id=f"r{n:04}", state="completed", usage="{}", **of))
            await tx.insert(row(Message, id=f"m{n:04}", role="user", content=text, hidden=n == 900, **of))

    await engine.services.chat._store.transaction(body)
    del texts[900]
    data = await client.get(f"/conversations/{here}/export", params={"format": "json"})
    page = await client.get(f"/conversations/{here}/export")
    assert [entry["content"] for entry in data.json()["messages"]] == texts
    assert data.json()["truncated"] is False
    assert [line[2:] for line in page.text.splitlines() if line.startswith("> ")] == texts


async def test_an_unknown_one_is_unknown(engine: Running) -> None:
    client = await newcomer(engine, "ana@example.com")
    problem(await client.get("/conversations/0198b2f0-0000-7000-8000-000000000000/export"), 404)
