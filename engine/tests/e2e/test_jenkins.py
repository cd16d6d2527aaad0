"""Use a Jenkins integration: its tools come and go with it, and its token reaches only the controller."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from jenkins_controller import Controller, Job
from jenkins_server import serve_jenkins

from tests.support.api_user import ApiUser
from tests.support.product import Product, tool_call
from tests.support.waiting import eventually


@pytest.fixture
def controller() -> Controller:
    found = Controller()
    secret = {"name": "KEY", "type": "PasswordParameterDefinition", "default": ""}
    version = {"name": "VERSION", "type": "StringParameterDefinition", "default": "1"}
    found.add(Job("deploy", parameters=[version, secret]))
    return found


@pytest.fixture
def address(controller: Controller) -> Iterator[str]:
    with serve_jenkins(controller) as url:
        yield url


async def tool_names(product: Product, me: ApiUser) -> list[str]:
    """Return the tools that the model is offered."""
    product.set_script("Nothing to do.")
    await me.ask("What can you do?")
    body: Any = product.model.requests[-1].body
    return [each["function"]["name"] for each in body["tools"]]


@pytest.fixture
async def connected(product: Product, me: ApiUser, controller: Controller, address: str) -> AsyncIterator[str]:
    """Add the integration, and remove it at the end. Yields its id."""
    credentials = {"username": "alice", "api_token": controller.tokens["alice"]}
    given = {"provider": "jenkins", "metadata": {"api_url": address}, "credentials": credentials}
    made = await me.client.post("/integrations", json=given)
    assert made.is_success, made.text

    async def are_offered() -> bool:
        return "jenkins_trigger_build" in await tool_names(product, me)

    await eventually(are_offered, what="the Jenkins tools")
    yield made.json()["id"]
    await me.client.delete(f"/integrations/{made.json()['id']}")


async def test_tools_are_offered_only_with_an_integration(product: Product, me: ApiUser) -> None:
    assert not [name for name in await tool_names(product, me) if name.startswith("jenkins_")]


@pytest.mark.promise("once", "no-approval-no-effect")
async def test_approved_build_runs_once_and_hides_its_secrets(
    product: Product, me: ApiUser, controller: Controller, connected: str
) -> None:
    secret: Any = [{"name": "KEY", "password": "canary-4711-canary"}]
    product.set_script(
        tool_call("jenkins_get_job_parameters", job="deploy"),
        tool_call("jenkins_trigger_build", job="deploy", parameters={"VERSION": "7"}, secret_parameters=secret),
        tool_call("jenkins_get_build", job="deploy", number=1),
        "Build 1 has started.",
    )
    asked = await me.ask("Deploy version 7")
    shown = asked["tool.awaiting_approval"]
    assert "+VERSION: 7\n+KEY: (secret)" in shown["preview"]["diff"]
    assert controller.received == []
    done = await me.decide(asked, asked.waiting[0], digest=shown["digest"])
    await me.decide(asked, asked.waiting[0])
    assert controller.received == [{"VERSION": "7", "KEY": "canary-4711-canary"}]
    assert "build #1 has started" in str(done.all("tool.result")[0]["result"])
    assert "building" in str(done.all("tool.result")[1]["result"])
    stored = await me.timeline(asked.conversation_id)
    everything = str(asked.events) + str(done.events) + str(stored)
    assert "canary" not in everything
    assert controller.tokens["alice"] not in everything


async def test_disabled_integration_ends_a_call_before_it_is_sent(
    product: Product, me: ApiUser, controller: Controller, connected: str
) -> None:
    product.set_script(tool_call("jenkins_trigger_build", job="deploy"), "It was not started.")
    asked = await me.ask("Deploy")
    disabled = await me.client.patch(f"/integrations/{connected}", json={"status": "disabled"})
    assert disabled.is_success, disabled.text
    done = await me.decide(asked, asked.waiting[0])
    assert controller.received == []
    assert "No integration for jenkins is active" in str(done.events)
