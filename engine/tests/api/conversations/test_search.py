"""Searching conversations by a part of their title or text, over HTTP, on both databases."""

from uuid import uuid4

import httpx
import pytest

from src.api.ports import Transaction
from src.api.services.conversations import conversations
from src.api.services.conversations.search import text_to_index
from src.api.utils.text import clean
from tests.support.app import RunningApp, register_client
from tests.support.history_rows import make_message, make_run
from tests.support.waiting import eventually


async def create(client: httpx.AsyncClient, title: str) -> str:
    return str((await client.post("/conversations", json={"title": title})).json()["id"])


async def add_message(engine: RunningApp, conversation_id: str, content: str, *, hidden: bool = False) -> None:
    run = make_run(conversation_id, str(uuid4()))
    message = make_message(run, 0, "user", clean(content), hidden=hidden)

    async def body(tx: Transaction) -> None:
        assert await tx.insert(message)
        await tx.insert_all(text_to_index(message))

    await engine.services.conversations.store.transaction(body)


async def search(client: httpx.AsyncClient, query: str, **more: str | int) -> list[str]:
    answer = await client.get("/conversations", params={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


async def test_part_of_title_or_text_matches_in_any_case(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient],
) -> None:
    engine, client = engine_and_admin
    first, second = await create(client, "Checkout DOWN again"), await create(client, "Übersicht der Größe")
    await add_message(engine, first, "The pod checkout-5d9 is in CrashLoopBackOff, 100% of the time.")
    assert await search(client, "checkout d") == [first]
    assert await search(client, "crashloop") == [first]
    assert await search(client, "ÜBERSICHT") == [second]
    assert await search(client, "größe") == [second]
    assert await search(client, "GRÖSSE") == [second]
    assert set(await search(client, "   ")) == {first, second}
    assert await search(client, "nowhere") == []


@pytest.mark.parametrize("query", ["%", "_", "\\", "100%", "0_", "'", '"', "🙂"])
async def test_special_characters_match_literally(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient], query: str
) -> None:
    engine, client = engine_and_admin
    await create(client, "plain")
    with_it = await create(client, "other")
    await add_message(engine, with_it, f"here {query} there")
    assert await search(client, query) == [with_it]


async def test_changed_title_replaces_former_in_search(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    _, client = engine_and_admin
    one = await create(client, "before")
    await client.patch(f"/conversations/{one}", json={"title": "after"})
    assert await search(client, "before") == []
    assert await search(client, "after") == [one]
    await client.delete(f"/conversations/{one}")
    assert await search(client, "after") == []


async def test_hidden_messages_and_other_users_are_not_searched(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient],
) -> None:
    engine, client = engine_and_admin
    one = await create(client, "hers")
    await add_message(engine, one, "needle", hidden=True)
    assert await search(client, "needle") == []
    await add_message(engine, one, "needle")
    bo = await register_client(engine, "bo@example.com")
    assert await search(client, "needle") == [one]
    assert await search(bo, "needle") == []


async def test_pages_list_each_match_once_with_bounded_scans(
    engine_and_admin: tuple[RunningApp, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = engine_and_admin
    monkeypatch.setattr(conversations, "BATCH", 4)
    monkeypatch.setattr(conversations, "MAX_SEARCHED", 8)
    wanted = {await create(client, f"{'red' if n % 5 == 0 else 'blue'} {n}") for n in range(30)}
    red: list[str] = []
    cursor, pages = None, 0
    while pages == 0 or cursor:
        params = {"query": "RED", "limit": 3, **({"cursor": cursor} if cursor else {})}
        answer = (await client.get("/conversations", params=params)).json()
        red += [one["id"] for one in answer["data"]]
        cursor, pages = answer["pagination"]["next_cursor"], pages + 1
    assert len(red) == len(set(red)) == 6
    assert set(red) < wanted
    assert pages >= 4


async def test_chat_message_is_found(engine_and_admin: tuple[RunningApp, httpx.AsyncClient]) -> None:
    _, client = engine_and_admin
    body = {"messages": [{"role": "user", "content": "Why does Zebra-7 restart?"}]}
    async with client.stream("POST", "/agent/chat", json=body) as answer:
        assert answer.status_code == 200

    async def is_found() -> bool:
        return len(await search(client, "zebra-7")) == 1

    await eventually(is_found, what="the conversation")
