"""Requests that are made from the OpenAPI document: whatever they hold, the answer is one that it declares.

Each route is asked as an admin, as a member and as nobody. With `TEST_HTTP_EXAMPLES=200` in the environment this is a
longer campaign, whose requests differ from run to run, in every role and on each database.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
import pytest_asyncio

from src.api.ports import Transaction
from src.api.schemas.records import ApiToken, Conversation
from tests.support.app import BASE, Running, given, on_a_port, registered, running, signed_in
from tests.support.fuzzing import Campaign
from tests.support.rows import row
from tests.support.scripted_model import ScriptedModel
from tests.support.services import PROJECT
from tests.support.talk import a_call, a_message, a_run, an_approval

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = PROJECT / "docs" / "openapi.json"
LAST = ("logout", "DELETE")
EXAMPLES = int(os.environ.get("TEST_HTTP_EXAMPLES", "0"))
DATABASES = ("sqlite", "postgres") if EXAMPLES else ("sqlite",)
ROLES = ("admin", "member", "viewer", "approver") if EXAMPLES else ("admin", "member")


def operations() -> list[tuple[str, str]]:
    """Every operation of the document; those that take away what others need come last."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods]
    return sorted(found, key=lambda one: (any(word in " ".join(one) for word in LAST), one[1], one[0]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def campaign(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str | None, words: ScriptedModel
) -> AsyncIterator[Campaign]:
    """An engine on a port, with a person for each role; the member has a conversation that awaits approval."""
    settings = given(
        tmp_path_factory.mktemp("data"),
        postgres_database_url=shared_database,
        registration_enabled=True,
        llm_model="openai/scripted",
        llm_host=words.url,
        environment={"OPENAI_API_KEY": "sk-scripted-0123456789"},
    )
    async with running(settings) as engine, on_a_port(engine.app) as address, engine.client() as client:
        ids = {name: (await registered(client, f"{name}@example.com"))["id"] for name in (*ROLES, "spare")}
        tokens = {name: await signed_in(client, f"{name}@example.com") for name in ROLES}
        bearers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
        for role in ROLES[1:]:
            path = f"/team/members/{ids[role]}"
            assert (await client.patch(path, json={"role": role}, headers=bearers["admin"])).status_code == 200
        known = await _kept(engine, ids["member"]) | {"member_id": ids["spare"], "user_id": ids["spare"]}
        document = json.loads(DOCUMENT.read_text())
        given_more = {"examples": EXAMPLES, "differing": True} if EXAMPLES else {}
        yield Campaign(document, address.removesuffix(BASE), {**bearers, "nobody": {}}, known, **given_more)


async def _kept(engine: Running, owner: str) -> dict[str, str]:
    """What the member has, by the names of the paths' parameters."""
    here = row(Conversation, id=str(uuid4()), owner_id=owner, metadata="{}", is_active=True, created_at=1, updated_at=1)
    run = a_run(here.id, owner, state="awaiting_approval", turn=1)
    call = a_call(run, 1, 0, status="awaiting_approval")
    approval = replace(an_approval(run, digest="d", approve_by=9_999_999_999_999), id=call.id)
    lent = row(ApiToken, id="lent", user_id=owner, token_sha256="x", scopes="read")

    async def body(tx: Transaction) -> None:
        for one in (here, run, a_message(run, 1, "assistant", "Shall I?"), call, approval, lent):
            assert await tx.insert(one)

    await engine.services.conversations._store.transaction(body)
    return {"conversation_id": here.id, "run_id": run.id, "call_id": call.id, "token_id": lent.id}


@pytest.mark.promise("contract")
@pytest.mark.parametrize("shared_database", DATABASES, indirect=True, scope="module")
@pytest.mark.parametrize(("method", "path"), operations())
async def test_every_answer_is_one_that_is_declared(campaign: Campaign, method: str, path: str) -> None:
    await asyncio.to_thread(campaign.run, method, path)
