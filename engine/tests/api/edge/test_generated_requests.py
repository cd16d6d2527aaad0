"""Requests generated from the OpenAPI document: every response is one that the document declares.

Each route is requested as an admin, as a member and anonymously. With `TEST_HTTP_EXAMPLES=200` in the environment this
is a longer campaign: other requests in each run, every role, both databases.
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
from tests.support.app import BASE, RunningApp, log_in, make_settings, register_user, run_app, serve_on_port
from tests.support.fuzzing import Campaign
from tests.support.history_rows import make_approval, make_call, make_message, make_run
from tests.support.rows import row
from tests.support.scripted_model import ScriptedModel
from tests.support.services import PROJECT

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOCUMENT = PROJECT / "docs" / "openapi.json"
RUN_LAST = ("logout", "DELETE")
ENDLESS = (f"{BASE}/events",)
"""Streams without an end, which a client that waits for the whole response never receives."""
EXAMPLES = int(os.environ.get("TEST_HTTP_EXAMPLES", "0"))
DATABASES = ("sqlite", "postgres") if EXAMPLES else ("sqlite",)
ROLES = ("admin", "member", "viewer", "approver") if EXAMPLES else ("admin", "member")


def list_operations() -> list[tuple[str, str]]:
    """List all operations of the document, those that remove shared rows last."""
    paths = json.loads(DOCUMENT.read_text())["paths"]
    found = [(method.upper(), path) for path, methods in paths.items() for method in methods if path not in ENDLESS]
    return sorted(found, key=lambda one: (any(word in " ".join(one) for word in RUN_LAST), one[1], one[0]))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def campaign(
    tmp_path_factory: pytest.TempPathFactory, shared_database: str | None, scripted_model: ScriptedModel
) -> AsyncIterator[Campaign]:
    """A campaign against an engine on a port with a user for each role; the member has a pending approval."""
    settings = make_settings(
        tmp_path_factory.mktemp("data"),
        postgres_database_url=shared_database,
        registration_enabled=True,
        llm_model="openai/scripted",
        llm_host=scripted_model.url,
        environment={"OPENAI_API_KEY": "sk-scripted-0123456789"},
    )
    async with run_app(settings) as engine, serve_on_port(engine.app) as address, engine.client() as client:
        ids = {name: (await register_user(client, f"{name}@example.com"))["id"] for name in (*ROLES, "spare")}
        tokens = {name: await log_in(client, f"{name}@example.com") for name in ROLES}
        bearers = {name: {"Authorization": f"Bearer {token}"} for name, token in tokens.items()}
        for role in ROLES[1:]:
            path = f"/team/members/{ids[role]}"
            assert (await client.patch(path, json={"role": role}, headers=bearers["admin"])).status_code == 200
        known = await _insert_member_rows(engine, ids["member"]) | {"member_id": ids["spare"], "user_id": ids["spare"]}
        document = json.loads(DOCUMENT.read_text())
        extra = {"examples": EXAMPLES, "differing": True} if EXAMPLES else {}
        yield Campaign(document, address.removesuffix(BASE), {**bearers, "nobody": {}}, known, **extra)


async def _insert_member_rows(engine: RunningApp, owner: str) -> dict[str, str]:
    """Insert the member's rows; return their ids by path parameter."""
    conversation = row(
        Conversation, id=str(uuid4()), owner_id=owner, metadata="{}", is_active=True, created_at=1, updated_at=1
    )
    run = make_run(conversation.id, owner, state="awaiting_approval", turn=1)
    call = make_call(run, 1, 0, status="awaiting_approval")
    approval = replace(make_approval(run, digest="d", approve_by=9_999_999_999_999), id=call.id)
    api_token = row(ApiToken, id="lent", user_id=owner, token_sha256="x", scopes="read")

    async def body(tx: Transaction) -> None:
        for one in (conversation, run, make_message(run, 1, "assistant", "Shall I?"), call, approval, api_token):
            assert await tx.insert(one)

    await engine.services.conversations.store.transaction(body)
    return {"conversation_id": conversation.id, "run_id": run.id, "call_id": call.id, "token_id": api_token.id}


@pytest.mark.promise("contract")
@pytest.mark.parametrize("shared_database", DATABASES, indirect=True, scope="module")
@pytest.mark.parametrize(("method", "path"), list_operations())
async def test_every_response_is_declared(campaign: Campaign, method: str, path: str) -> None:
    await asyncio.to_thread(campaign.run, method, path)
