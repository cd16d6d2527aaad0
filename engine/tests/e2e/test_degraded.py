"""Test that missing or failing parts are reported with advice, and used again once they return."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.api_user import ApiUser, Event, read_events
from tests.support.kubectl import Kubectl
from tests.support.product import Product, UpProcess, start_product, tool_call
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually


@pytest.mark.promise("fail-closed")
async def test_killed_tool_server_is_reported_and_reconnected(product: Product, me: ApiUser) -> None:
    product.kubectl.create_deployment("stuck", replicas=1, image="registry.example/app:never-ready")
    waits = tool_call("k8s_rollout_status", name="stuck", namespace=product.kubectl.namespace, wait_seconds=60)
    product.set_script(waits, "It could not be seen.")
    (before,) = product.engine.children()
    events: list[Event] = []
    async with me.open_chat("Wait for it") as response:
        async for event in read_events(response):
            events.append(event)
            if event["type"] == "tool.progress":
                os.kill(before, signal.SIGKILL)
                await eventually(lambda: is_reported(product.engine), what="the loss of the tool server")
    assert "tool.error" in [event["type"] for event in events]
    assert events[-1]["status"] == "completed"

    await eventually(product.engine.is_ready, what="the return of the tool server")
    assert product.engine.children() != [before]
    product.set_script(tool_call("k8s_get", kind="deployments", namespace=product.kubectl.namespace), "There it is.")
    assert (await me.ask("Look again")).all("tool.result")


async def is_reported(running: UpProcess) -> bool:
    """Whether the engine says that a tool server is down: in its readiness for the moment, in its log for good."""
    state = (await running.readiness())["tool servers"]["state"]
    return state == "error" or "tool server skyflo is down" in running.log_text


@pytest.fixture(scope="module")
def unnamed(
    administrator: Kubectl, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[UpProcess]:
    """Start an engine with a discovered kubeconfig and no configured context."""
    with start_product(tmp_path_factory.mktemp("unnamed"), model, administrator.kubeconfig) as running:
        yield running


@pytest.fixture(scope="module")
def bare(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpProcess]:
    """Start an engine without a cluster."""
    with start_product(tmp_path_factory.mktemp("bare"), model, Path("nowhere") / "kubeconfig") as running:
        yield running


@pytest.mark.promise("fail-closed")
async def test_unnamed_cluster_is_read_only(bare: UpProcess, unnamed: UpProcess, product: Product) -> None:
    await unnamed.wait_until_listening()
    product.kubectl.create_deployment(replicas=2)
    replace(product, engine=unnamed).set_script(
        tool_call("k8s_scale", kind="deployment", name="web", namespace=product.kubectl.namespace, replicas=4),
        "I can't.",
    )
    async with unnamed.open_user() as me:
        answer = await me.ask("Scale it")
    assert f"CLUSTERS={product.kubectl.context}" in answer["tool.error"]["error"]
    assert not answer.waiting
    assert product.kubectl.get("deployment", "web")["spec"]["replicas"] == 2


async def test_engine_without_a_kubeconfig_reports_what_is_missing(bare: UpProcess, product: Product) -> None:
    await bare.wait_until_listening()
    missing = "nowhere/kubeconfig does not exist. Set KUBECONFIG"
    assert missing in bare.log_text

    async def is_said() -> bool:
        return missing in str((await bare.readiness())["cluster"])

    await eventually(is_said, what="the hint in /health/ready")
    replace(product, engine=bare).set_script(tool_call("k8s_get", kind="pods"), "There is no cluster.")
    async with bare.open_user() as me:
        answer = await me.ask("List pods")
    assert answer.last["status"] == "completed"
    assert "KUBECONFIG" in answer["tool.error"]["error"]
