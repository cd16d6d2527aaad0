"""Conversations over HTTP, on both databases."""

import asyncio
from dataclasses import replace
from typing import Any
from uuid import uuid4

import httpx
import pytest

from src.api.ports import Transaction
from src.api.schemas.records import Approval, Conversation, Record, Run, User
from src.api.services.conversations import timelines
from tests.support.app import RunningApp, check_problem, register_client
from tests.support.history_rows import make_approval, make_call, make_message, make_run


async def _insert(engine: RunningApp, *rows: Record) -> None:
    async def body(tx: Transaction) -> None:
        for row in rows:
            assert await tx.insert(row)

    await engine.services.conversations.store.transaction(body)


async def _create(client: httpx.AsyncClient, **body: Any) -> str:
    answer = await client.post("/conversations", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def test_conversation_lifecycle(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    _, client = engine_and_admin
    made = await _create(client, title="First")
    read = (await client.get(f"/conversations/{made}")).json()
    assert (read["status"], read["exists"], read["title"]) == ("success", True, "First")
    assert read["messages"] == []
    assert read["active_run"] is None
    change = {"title": "Second", "is_active": False, "conversation_metadata": {"color": "blue"}}
    assert (await client.patch(f"/conversations/{made}", json=change)).json()["title"] == "Second"
    read = (await client.get(f"/conversations/{made}")).json()
    assert (read["title"], read["is_active"], read["conversation_metadata"]) == ("Second", False, {"color": "blue"})
    assert (await client.delete(f"/conversations/{made}")).json() == {"status": "success", "id": made}
    check_problem(await client.get(f"/conversations/{made}"), 404)
    check_problem(await client.delete(f"/conversations/{made}"), 404)
    assert (await client.get("/conversations")).json()["data"] == []


async def test_same_id_creates_one_conversation(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    wanted = str(uuid4())
    answers = await asyncio.gather(*(client.post("/conversations", json={"conversation_id": wanted}) for _ in range(5)))
    assert {answer.json()["id"] for answer in answers} == {wanted}
    assert len({answer.json()["created_at"] for answer in answers}) == 1
    other = await register_client(engine, "bob@example.com")
    check_problem(await other.post("/conversations", json={"conversation_id": wanted}), 409)


@pytest.mark.promise("authorised")
async def test_other_users_can_not_see_conversation(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    bob, eve = await register_client(engine, "bob@example.com"), await register_client(engine, "eve@example.com")
    his = await _create(bob, title="Bob's")
    unknown = check_problem(await eve.get(f"/conversations/{uuid4()}"), 404)["detail"]
    assert check_problem(await eve.get(f"/conversations/{his}"), 404)["detail"] == unknown
    check_problem(await eve.patch(f"/conversations/{his}", json={"title": "Eve's"}), 404)
    check_problem(await eve.delete(f"/conversations/{his}"), 404)
    assert (await eve.get("/conversations")).json()["data"] == []
    assert (await client.get(f"/conversations/{his}")).status_code == 200
    check_problem(await client.patch(f"/conversations/{his}", json={"title": "x"}), 404)


async def test_pages_list_each_conversation_once(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    owner = (await client.get("/auth/me")).json()["id"]
    rows = [
        Conversation(f"{n:032}", owner, f"Number {n}", True, "{}", 0, 1000, 1000 + n // 4, None, None, None)
        for n in range(23)
    ]
    await _insert(engine, *rows)
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query = {"limit": 5, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/conversations", params=query)).json()
        seen += [one["id"] for one in page["data"]]
        cursor = page["pagination"]["next_cursor"]
        assert page["pagination"]["has_more"] is (cursor is not None)
        if cursor is None:
            break
    assert seen == [row.id for row in reversed(rows)]


async def test_timeline_lists_segments_in_order(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    owner = (await client.get("/auth/me")).json()["id"]
    made = await _create(client, title="Scale")
    usage = '{"completion_tokens":5,"cost":0.01,"model":"m","prompt_tokens":7,"total_tokens":12,"cached_tokens":0}'
    run = make_run(made, owner, state="awaiting_approval", usage=usage)
    await _insert(
        engine,
        run,
        make_message(run, 0, "user", "Scale web to 3", at=1),
        make_message(run, 1, "assistant", "I look first.", thinking="Hm.", thinking_ms=40, at=2),
        make_call(run, 1, 0, status="completed", kind="read", result='[{"type":"text","text":"2"}]', ended_at=3, at=2),
        make_message(run, 2, "assistant", "Now I scale", finish_reason="tool_calls", at=4),
        make_call(run, 2, 0, status="stale", at=4),
        make_call(run, 2, 0, version=1, status="awaiting_approval", at=5),
        make_message(run, 3, "assistant", "hidden branch", hidden=True, at=6),
    )
    read = (await client.get(f"/conversations/{made}")).json()
    user, assistant = read["messages"]
    assert (user["type"], user["content"], user["timestamp"]) == ("user", "Scale web to 3", 1)
    kinds = [segment["kind"] for segment in assistant["segments"]]
    assert kinds == ["thinking", "text", "tool", "text", "tool", "tool"]
    thinking, _, done, cut, stale, waiting = assistant["segments"]
    assert (thinking["isComplete"], thinking["durationMs"]) == (True, 40)
    assert done["toolExecution"]["result"] == [{"type": "text", "text": "2"}]
    assert done["toolExecution"]["requires_approval"] is False
    assert cut["finish_reason"] == "tool_calls"
    assert [stale["toolExecution"]["status"], waiting["toolExecution"]["status"]] == ["stale", "awaiting_approval"]
    assert assistant["content"] == "I look first.\n\nNow I scale"
    assert assistant["token_usage"]["total_tokens"] == 12
    assert assistant["token_usage"]["cost"] == 0.01
    assert read["active_run"]["state"] == "awaiting_approval"
    assert (await client.get("/conversations")).json()["data"][0]["active_run"]["run_id"] == run.id


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(("limit", "value"), [("MAX_ROWS", 3), ("MAX_CHARACTERS", 3 * 100 + 50)])
async def test_long_timeline_is_marked_truncated(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    engine, client = engine_and_admin
    monkeypatch.setattr(timelines, limit, value)
    monkeypatch.setattr(timelines, "ROWS_PER_READ", 2)
    three, four, calls = [await _create(client) for _ in range(3)]
    for made, number in ((three, 3), (four, 4)):
        runs = [make_run(made, "u") for _ in range(number)]
        await _insert(engine, *runs)
        await _insert(engine, *(make_message(run, 0, "user", f"{n:0100}", at=n // 2) for n, run in enumerate(runs)))
    run = make_run(calls, "u")
    await _insert(engine, run, make_message(run, 1, "assistant", ""))
    await _insert(
        engine, *(make_call(run, 1, n, redacted_args="{}", result=f"[{' ' * 96}]", ended_at=1) for n in range(4))
    )
    read = {made: (await client.get(f"/conversations/{made}")).json() for made in (three, four, calls)}
    assert {made: (one["truncated"]) for made, one in read.items()} == {three: False, four: True, calls: True}
    assert [len(read[made]["messages"]) for made in (three, four)] == [3, 3]
    assert {int(entry["content"]) for entry in read[four]["messages"]} > {2, 3}
    assert len(read[calls]["messages"][0]["segments"]) == 3


async def test_timeline_is_read_page_by_page(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    """A message that waited comes before the answer to an earlier one, and a page may end within a run."""
    engine, client = engine_and_admin
    made, other = await _create(client), await _create(client)
    runs = [make_run(made, "u", created_at=n) for n in range(1, 8)]
    await _insert(engine, *runs)
    for n, run in enumerate(runs, 1):
        await _insert(engine, make_message(run, 0, "user", f"question {n}", at=n, hidden=n == 4))
        await _insert(engine, make_message(run, 1, "assistant", f"answer {n}", at=20 + n, hidden=n == 4))
    failed = make_run(made, "u", created_at=9, error="It failed.", state="failed")
    await _insert(engine, failed, make_message(failed, 0, "user", "question 8", at=9))
    whole = (await client.get(f"/conversations/{made}")).json()
    assert whole["truncated"] is False
    assert [entry["content"] for entry in whole["messages"]][:4] == [
        "question 1",
        "answer 1",
        "question 2",
        "answer 2",
    ]
    for limit in (1, 3, 200):
        pages: list[dict[str, Any]] = []
        before: dict[str, str] = {}
        while True:
            page = (await client.get(f"/conversations/{made}", params={"limit": limit, **before})).json()
            assert 1 <= len(page["messages"]) <= limit
            pages = page["messages"] + pages
            if not page["truncated"]:
                break
            before = {"before": page["messages"][0]["id"]}
        assert pages == whole["messages"]
    for unknown in ("nonsense", f"{runs[0].id}:error", runs[0].id):
        check_problem(await client.get(f"/conversations/{made}", params={"before": unknown}), 404)
    check_problem(await client.get(f"/conversations/{other}", params={"before": whole["messages"][0]["id"]}), 404)
    check_problem(await client.get(f"/conversations/{made}", params={"limit": 0}), 422)


async def test_removal_stops_runs(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    owner = (await client.get("/auth/me")).json()["id"]
    made = await _create(client)
    resting, waiting = make_run(made, owner, state="awaiting_approval", turn=1), make_run(made, owner, state="waiting")
    call = make_call(resting, 1, 0, status="awaiting_approval")
    approval = replace(make_approval(resting), id=call.id)
    await _insert(engine, resting, waiting, call, approval)
    assert (await client.delete(f"/conversations/{made}")).status_code == 200
    store = engine.services.conversations.store
    runs = await store.read(lambda reader: reader.find(Run, {"conversation_id": made}))
    assert {run.state for run in runs} == {"stopped"}
    kept = await store.read(lambda reader: reader.get(Approval, id=call.id))
    assert kept is not None
    assert kept.status == "stopped"


async def test_failed_run_shows_error(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    engine, client = engine_and_admin
    made = await _create(client)
    run = make_run(made, "u", state="failed", error="The model did not answer.")
    await _insert(engine, run, make_message(run, 0, "user", "Hello", at=1))
    _, assistant = (await client.get(f"/conversations/{made}")).json()["messages"]
    assert (assistant["error"], assistant["segments"]) == ("The model did not answer.", [])


@pytest.mark.promise("authorised")
async def test_approver_sees_conversations_with_approvals(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient],
) -> None:
    engine, client = engine_and_admin
    bob = await register_client(engine, "bob@example.com")
    plain, risky = await _create(client), await _create(client)
    run = make_run(risky, "u")
    approval: Approval = make_approval(run)
    await _insert(engine, run, approval)

    async def promote(tx: Transaction) -> None:
        found = await tx.find(User, {"email": "bob@example.com"})
        await tx.change(User, {"id": found[0].id}, role="approver")

    await engine.services.conversations.store.transaction(promote)
    check_problem(await bob.get(f"/conversations/{plain}"), 404)
    assert (await bob.get(f"/conversations/{risky}")).status_code == 200
    check_problem(await bob.patch(f"/conversations/{risky}", json={"title": "x"}), 404)
