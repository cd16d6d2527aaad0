"""Integrations: admins connect the engine to things, and credentials go in and never come out."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from src.api.config.settings import Settings
from src.api.errors import SecretsUnavailable, Unavailable
from src.api.ports import Reader, Store, Transaction
from src.api.schemas.query import no
from src.api.schemas.record import Record
from src.api.schemas.records import CredentialNote, SealedCredentials, User
from src.api.schemas.trail import AuditEntry
from tests.support.app import Running, newcomer, problem, running
from tests.support.connecting import jenkins
from tests.support.vault import Vault, open_front
from tests.support.waiting import eventually

CANARY = "canary-5d1f83ab90"
FIELDS = {"id", "provider", "name", "metadata", "status", "credentials_ref", "credentials_set", "created_by"}
FIELDS |= {"created_at", "updated_at"}
Ana = tuple[Running, httpx.AsyncClient]


def store_of(engine: Running) -> Store:
    return engine.services.integrations._store


async def held(engine: Running) -> tuple[list[str], list[str]]:
    """What is noted, as its states, and what the local store holds."""

    async def body(reader: Reader) -> tuple[list[str], list[str]]:
        notes, sealed = await reader.find(CredentialNote, {}), await reader.find(SealedCredentials, {})
        return sorted(note.state for note in notes), [one.ref for one in sealed]

    return await store_of(engine).read(body)


async def add(client: httpx.AsyncClient, name: str = "ci", **more: Any) -> dict[str, Any]:
    answer = await client.post("/integrations", json={**jenkins(name), **more})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def listed(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return list((await client.get("/integrations")).json()["data"])


async def test_one_comes_is_changed_and_goes(ana: Ana) -> None:
    engine, client = ana
    made = await add(client, metadata={"api_url": "https://ci.example.org/", "team": "platform"})
    assert set(made) == FIELDS
    assert (made["status"], made["credentials_set"]) == ("active", ["api_token", "username"])
    assert made["metadata"] == {"api_url": "https://ci.example.org", "team": "platform"}
    assert made["credentials_ref"].startswith(f"@local/skyflo-{made['id']}-")
    assert await listed(client) == [made]
    path = f"/integrations/{made['id']}"
    changed = (await client.patch(path, json={"name": " CI ", "status": "disabled"})).json()
    assert {**changed, "updated_at": 0} == {**made, "name": "CI", "status": "disabled", "updated_at": 0}
    token = {"credentials": {"username": "bot", "api_token": "t-2"}}
    moved = (await client.patch(path, json={**token, "metadata": {"api_url": "http://127.0.0.1:8081"}})).json()
    assert (moved["status"], moved["metadata"]) == ("disabled", {"api_url": "http://127.0.0.1:8081"})
    assert await held(engine) == (["kept"], [moved["credentials_ref"]])
    assert moved["credentials_ref"] != made["credentials_ref"]
    removed = await client.delete(path)
    assert removed.json() == {"status": "success", "id": made["id"], "credentials": "removed"}
    for method in ("DELETE", "PATCH"):
        problem(await client.request(method, path, json={} if method == "PATCH" else None), 404)
    problem(await client.patch(path, json=token), 404)
    assert (await listed(client), await held(engine)) == ([], ([], []))
    assert await audited(engine) == [
        ("integration.added", "https://ci.example.org", None),
        ("integration.changed", "https://ci.example.org", ["name", "status"]),
        ("integration.changed", "http://127.0.0.1:8081", ["credentials_ref", "metadata"]),
        ("integration.removed", "http://127.0.0.1:8081", None),
    ]


async def audited(engine: Running) -> list[tuple[str, str, list[str] | None]]:
    """What was done, where its credentials were sent from then on, and what was changed."""

    async def body(reader: Reader) -> list[AuditEntry]:
        return await reader.find(AuditEntry, {"stream": "integrations"}, "n")

    entries = [(entry.action, json.loads(entry.body)) for entry in await store_of(engine).read(body)]
    return [(action, told["destination"], told.get("changed")) for action, told in entries]


async def test_a_name_is_one_integrations(ana: Ana) -> None:
    engine, client = ana
    answers = await asyncio.gather(*(client.post("/integrations", json=jenkins("ci")) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]
    other = await add(client, "other")
    taken = await client.patch(f"/integrations/{other['id']}", json={"name": "ci"})
    assert taken.status_code == 409
    await eventually(lambda: _settled(engine, 2), what="the removal of what was not used")


async def _settled(engine: Running, kept: int) -> bool:
    notes, sealed = await held(engine)
    return notes == ["kept"] * kept and len(sealed) == kept


BAD: list[tuple[dict[str, Any], str]] = [
    ({"provider": "teamcity"}, "Known are: jenkins"),
    ({"metadata": {}}, "api_url"),
    ({"metadata": {"api_url": 7}}, "api_url"),
    ({"metadata": {"api_url": "http://ci.example.org"}}, "https://"),
    ({"metadata": {"api_url": "https://ana:pw-1234@ci.example.org"}}, "looks like a secret"),
    ({"metadata": {"api_url": "https://ana@ci.example.org"}}, "belong to the credentials"),
    ({"metadata": {"api_url": "https://ci.example.org/?a=b"}}, "query"),
    ({"metadata": {"api_url": "https://ci.example.org:99999"}}, "not an address"),
    ({"metadata": {"api_url": "https://[::1"}}, "not an address"),
    ({"metadata": {"api_url": "https://ci.example.org\\@evil.example"}}, "not an address"),
    ({"metadata": {"api_url": "ftp://127.0.0.1"}}, "https://"),
    ({"metadata": {"api_url": "https://ci.ex\u0430mple.org"}}, "not an address"),
    ({"metadata": {"api_url": "https://ci.example.org", "password": CANARY}}, "under credentials"),
    ({"metadata": {"api_url": "https://ci.example.org", "a": {"apiToken": 123456}}}, "under credentials"),
    ({"metadata": {"api_url": "https://ci.example.org", "note": "ghp_" + "a1" * 18}}, "under credentials"),
    ({"metadata": {"api_url": "https://ci.example.org", "ghp_" + "a1" * 18: "x"}}, "under credentials"),
    ({"metadata": {"api_url": "https://ci.example.org", "a": {"b": {"c": {"d": {}}}}}}, "levels"),
    ({"metadata": {"api_url": "https://ci.example.org", **{f"k{n}": n for n in range(50)}}}, "keys"),
    ({"metadata": {"api_url": "https://ci.example.org", "a": "x" * 9_000}}, "bytes"),
    ({"metadata": [CANARY]}, "metadata"),
    ({"credentials": {}}, "username and api_token"),
    ({"credentials": {"username": "bot"}}, "api_token"),
    ({"credentials": {"username": "bot", "api_token": [CANARY]}}, "api_token"),
    ({"credentials": {"username": "bot", "api_token": f"{CANARY}\n"}}, "api_token"),
    ({"credentials": {"username": "bot", "api_token": CANARY * 400}}, "api_token"),
    ({"credentials": {"username": f"bot:{CANARY}", "api_token": "t"}}, "username"),
    ({"credentials": {"username": "bot", "api_token": "t", CANARY: "x"}}, "nothing besides"),
    ({"credentials": CANARY}, "credentials"),
    ({"credentials": None}, "credentials"),
    ({"name": "  "}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "x" * 201}, "name"),
    ({"status": "error"}, "status"),
    ({"credentials_ref": "kube-system/root"}, "credentials_ref"),
]


@pytest.mark.promise("bounded", "secrets")
async def test_what_can_not_be_is_refused_without_being_repeated(local_client: Ana) -> None:
    engine, client = local_client
    for change, says in BAD:
        answer = await client.post("/integrations", json={**jenkins("ci"), **change})
        assert says in problem(answer, 422)["detail"], change
        assert CANARY not in answer.text
        assert "ghp_" not in answer.text
    assert (await listed(client), await held(engine)) == ([], ([], []))


@pytest.fixture
async def local_client(settings: Callable[..., Settings]) -> AsyncIterator[Ana]:
    """The local admin of an engine on SQLite."""
    async with running(settings(local_mode=True, credentials_key=())) as engine, engine.client(host="localhost") as one:
        yield engine, one


async def test_bytes_that_are_no_request_are_refused(local_client: Ana) -> None:
    _, client = local_client
    whole = json.dumps(jenkins("ci"))
    bad = {
        400: [whole.replace("t-1", "\\u0000"), "[" * 70 + "]" * 70],
        422: [whole[:-1], "[]", "null", whole.replace('"t-1"', '"\\ud800"'), whole.replace('"bot"', "1e999")],
        413: [whole.replace("t-1", "x" * 1_100_000)],
    }
    for status, bodies in bad.items():
        for body in bodies:
            sent = await client.post("/integrations", content=body, headers={"Content-Type": "application/json"})
            problem(sent, status)
    for path in ("/integrations/%F0%9F%92%A9", "/integrations/..%2f..", f"/integrations/{'x' * 65}"):
        assert (await client.patch(path, json={"name": "x"})).status_code in (404, 422)
    assert (await client.get("/integrations?cursor=nonsense")).status_code == 400


@pytest.mark.promise("secrets")
async def test_credentials_are_not_sent_where_only_the_address_says_so(local_client: Ana) -> None:
    """Who may change an address alone could read every token by having it sent to themselves."""
    _, client = local_client
    made = await add(client)
    path, away = f"/integrations/{made['id']}", {"metadata": {"api_url": "https://evil.example"}}
    assert "credentials too" in problem(await client.patch(path, json=away), 422)["detail"]
    assert await listed(client) == [made]
    same = {"metadata": {"api_url": "https://ci.example.org/", "team": "b"}}
    assert (await client.patch(path, json=same)).json()["metadata"]["team"] == "b"
    with_token = {**away, "credentials": {"username": "bot", "api_token": "t-2"}}
    assert (await client.patch(path, json=with_token)).json()["metadata"] == away["metadata"]


async def test_what_can_not_be_read_is_an_error_until_it_is_sent_again(local_client: Ana) -> None:
    engine, client = local_client
    made = await add(client)
    path = f"/integrations/{made['id']}"

    async def lose(tx: Transaction) -> None:
        await tx.remove(SealedCredentials, {"ref": made["credentials_ref"]})

    await store_of(engine).transaction(lose)
    assert "again" in problem(await client.patch(path, json={"status": "active"}), 409)["detail"]
    assert [each["status"] for each in await listed(client)] == ["error"]
    renewed = await client.patch(path, json={"credentials": {"username": "bot", "api_token": "t-2"}})
    assert renewed.json()["status"] == "active"
    assert (await client.patch(path, json={"status": "active"})).status_code == 200


@pytest.mark.promise("bounded")
async def test_they_come_in_pages(local_client: Ana) -> None:
    _, client = local_client
    for n in range(3):
        await add(client, f"ci-{n}")
    first = (await client.get("/integrations?limit=2")).json()
    assert first["pagination"]["has_more"] is True
    rest = (await client.get(f"/integrations?limit=2&cursor={first['pagination']['next_cursor']}")).json()
    assert [each["name"] for each in first["data"] + rest["data"]] == ["ci-2", "ci-1", "ci-0"]
    assert rest["pagination"]["next_cursor"] is None


@pytest.mark.promise("authorised")
async def test_who_was_admin_when_asking_and_is_none_any_more_changes_nothing(
    settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The role is taken away while the credentials are on their way; they do not stay either."""
    async with running(settings(registration_enabled=True)) as engine:
        client = await newcomer(engine, "ana@example.com")
        keeping = engine.services.integrations._keeping
        put = keeping.put

        async def put_and_demote(*given: Any) -> CredentialNote:
            note = await put(*given)
            await store_of(engine).transaction(lambda tx: tx.change_all(User, {"role": "admin"}, role="viewer"))
            return note

        monkeypatch.setattr(keeping, "put", put_and_demote)
        assert "any more" in problem(await client.post("/integrations", json=jenkins("ci")), 403)["detail"]
        assert await held(engine) == ([], [])


# -- what a crash leaves behind


async def rows(engine: Running, kind: type[Record], **values: Any) -> None:
    await store_of(engine).transaction(lambda tx: tx.change_all(kind, {"due_at": no(None)}, **values))


async def test_the_sweep_removes_what_nobody_came_to_use_and_nothing_else(local_client: Ana) -> None:
    engine, client = local_client
    keeping = engine.services.integrations._keeping
    made = await add(client)

    async def nobody_objects(_: Transaction) -> None: ...

    note = await keeping.put("some-id", {"username": "bot"}, nobody_objects)
    await keeping.sweep()
    assert (await held(engine))[0] == ["kept", "writing"]
    await rows(engine, CredentialNote, due_at=0)
    await keeping.sweep()
    assert await held(engine) == (["kept"], [made["credentials_ref"]])
    with pytest.raises(Unavailable, match="too long"):
        await store_of(engine).transaction(lambda tx: keeping.keep(tx, note))
    await (await engine.services.integrations._secrets()).put(note.ref.partition("/")[2], "some-id", {"username": "b"})
    await keeping.drop(note)
    assert await held(engine) == (["kept"], [made["credentials_ref"]])


@asynccontextmanager
async def on_a_cluster(settings: Callable[..., Settings], vault: Vault, file: Path, server: str) -> AsyncIterator[Ana]:
    vault_here = replace(vault, server=server)
    wanted = settings(
        local_mode=True,
        integrations_kube_context="vault",
        integrations_secret_namespace=vault.namespace,
        environment={"KUBECONFIG": str(vault_here.kubeconfig(file))},
    )
    async with running(wanted) as engine, engine.client(host="localhost") as client:
        yield engine, client


@pytest.mark.promise("secrets")
async def test_a_cluster_keeps_them_and_what_it_does_not_answer_is_finished_later(
    settings: Callable[..., Settings], vault: Vault, tmp_path: Path
) -> None:
    async with open_front(vault.access) as front:
        server = f"http://127.0.0.1:{front.port}"
        async with on_a_cluster(settings, vault, tmp_path / "kubeconfig", server) as (engine, client):
            made = await add(client)
            namespace, name = made["credentials_ref"].split("/")
            assert namespace == vault.namespace
            assert set(vault.kubectl.get("secret", name)["data"]) == {"username", "api_token"}
            front.drop = {"POST"}
            answer = await client.post("/integrations", json=jenkins("lost"))
            assert "Try again" in problem(answer, 503)["detail"]
            assert [each["name"] for each in await listed(client)] == ["ci"]
            assert (await held(engine))[0] == ["kept", "writing"]
            front.drop = {"DELETE"}
            removed = (await client.delete(f"/integrations/{made['id']}")).json()
            assert (removed["credentials"], vault.kubectl.exists("secret", name)) == ("leaving", True)
            await rows(engine, CredentialNote, due_at=0)
            await engine.services.integrations._keeping.sweep()
            assert (await held(engine), vault.kubectl.exists("secret", name)) == (([], []), False)


async def test_a_cluster_that_can_not_be_used_is_told_by_health_and_by_who_asks(
    settings: Callable[..., Settings], vault: Vault, tmp_path: Path
) -> None:
    async with on_a_cluster(settings, vault, tmp_path / "kubeconfig", "http://127.0.0.1:9") as (engine, client):
        problem(await client.post("/integrations", json=jenkins("ci")), 503)
        assert await held(engine) == ([], [])
        found = (await client.get("/health/ready")).json()["dependencies"]
        told = next(one for one in found if one["name"] == "credentials")
        assert (told["state"], "can't be reached" in told["error"]) == ("error", True)


# -- nothing comes out


@pytest.mark.promise("secrets")
async def test_credentials_come_out_nowhere(
    settings: Callable[..., Settings], tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.DEBUG)
    told: list[str] = []
    token = {"credentials": {"username": f"{CANARY}-user", "api_token": f"{CANARY}-token"}}
    async with running(settings(local_mode=True, credentials_key=())) as engine, engine.client(host="localhost") as api:

        async def ask(method: str, path: str, body: object = None) -> httpx.Response:
            answer = await api.request(method, path, json=body)
            told.append(f"{answer.headers} {answer.text}")
            return answer

        made = (await ask("POST", "/integrations", {**jenkins("ci"), **token})).json()
        path = f"/integrations/{made['id']}"
        for body in (token, {**token, "metadata": {}}, {**token, "name": ""}, {"status": "active"}, {**token, "x": 1}):
            await ask("PATCH", path, body)
        await ask("POST", "/integrations", {**jenkins("ci"), **token})
        secrets = await engine.services.integrations._secrets()
        monkeypatch.setattr(secrets, "put", _refusing)
        assert (await ask("PATCH", path, token)).status_code == 503
        for get in ("/integrations", "/health/ready", "/conversations", "/agent/tools"):
            await ask("GET", get)
        assert dict(await secrets.read((await listed(api))[0]["credentials_ref"])) == token["credentials"]
        told.append(json.dumps(engine.app.openapi()))
    places = files_in(tmp_path)
    assert {"skyflo.sqlite3", "credentials_key"} <= set(places)
    places |= {"answers": "\n".join(told).encode(), "log": caplog.text.encode()}
    assert [name for name, text in places.items() if CANARY.encode() in text] == []


def files_in(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


async def _refusing(*_: object) -> None:
    raise SecretsUnavailable("The cluster that keeps the credentials did not answer. Try again.")
