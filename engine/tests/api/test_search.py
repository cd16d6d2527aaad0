"""Finding conversations by a part of their title or text, over HTTP, on both databases."""

from uuid import uuid4

import httpx
import pytest

from src.api.ports import Transaction
from src.api.services import conversations
from src.api.services.search import keep_message
from src.api.utils.text import clean
from tests.support.app import Running, newcomer
from tests.support.talk import a_message, a_run
from tests.support.waiting import eventually


async def made(client: httpx.AsyncClient, title: str) -> str:
    return str((await client.post("/conversations", json={"title": title})).json()["id"])


async def said(engine: Running, conversation_id: str, content: str, *, hidden: bool = False) -> None:
    run = a_run(conversation_id, str(uuid4()))
    message = a_message(run, 0, "user", clean(content), hidden=hidden)

    async def body(tx: Transaction) -> None:
        assert await tx.insert(message)
        await keep_message(tx, message)

    await engine.services.conversations._store.transaction(body)


async def found(client: httpx.AsyncClient, query: str, **more: str | int) -> list[str]:
    answer = await client.get("/conversations", params={"query": query, **more})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


async def test_a_part_of_a_title_or_text_in_any_case_finds_it(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, client = ana
    first, second = await made(client, "Checkout DOWN again"), await made(client, "Übersicht der Größe")
    await said(engine, first, "The pod checkout-5d9 is in CrashLoopBackOff, 100% of the time.")
    assert await found(client, "checkout d") == [first]
    assert await found(client, "crashloop") == [first]
    assert await found(client, "ÜBERSICHT") == [second]
    assert await found(client, "größe") == [second]
    assert await found(client, "GRÖSSE") == [second]
    assert set(await found(client, "   ")) == {first, second}
    assert await found(client, "nowhere") == []


@pytest.mark.parametrize("query", ["%", "_", "\\", "100%", "0_", "'", '"', "🙂"])
async def test_signs_stand_for_themselves(ana: tuple[Running, httpx.AsyncClient], query: str) -> None:
    engine, client = ana
    await made(client, "plain")
    with_it = await made(client, "other")
    await said(engine, with_it, f"here {query} there")
    assert await found(client, query) == [with_it]


async def test_a_changed_title_is_found_and_the_former_is_not(ana: tuple[Running, httpx.AsyncClient]) -> None:
    _, client = ana
    one = await made(client, "before")
    await client.patch(f"/conversations/{one}", json={"title": "after"})
    assert await found(client, "before") == []
    assert await found(client, "after") == [one]
    await client.delete(f"/conversations/{one}")
    assert await found(client, "after") == []


async def test_others_are_never_found_nor_what_was_folded_away(ana: tuple[Running, httpx.AsyncClient]) -> None:
    engine, client = ana
    one = await made(client, "hers")
    await said(engine, one, "needle", hidden=True)
    assert await found(client, "needle") == []
    await said(engine, one, "needle")
    bo = await newcomer(engine, "bo@example.com")
    assert await found(client, "needle") == [one]
    assert await found(bo, "needle") == []


async def test_pages_meet_each_once_and_looking_is_bounded(
    ana: tuple[Running, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = ana
    monkeypatch.setattr(conversations, "BATCH", 4)
    monkeypatch.setattr(conversations, "SEARCHED", 8)
    wanted = {await made(client, f"{'red' if n % 5 == 0 else 'blue'} {n}") for n in range(30)}
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


async def test_what_is_asked_in_a_chat_is_found(ana: tuple[Running, httpx.AsyncClient]) -> None:
    _, client = ana
    body = {"messages": [{"role": "user", "content": "Why does Zebra-7 restart?"}]}
    async with client.stream("POST", "/agent/chat", json=body) as answer:
        assert answer.status_code == 200

    async def is_found() -> bool:
        return len(await found(client, "zebra-7")) == 1

    await eventually(is_found, 10, "the conversation")
