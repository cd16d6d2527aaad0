"""What is missing or breaks is said with how to mend it, and what comes back is used again."""

import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.kubectl import Kubectl
from tests.support.person import Event, Person, read_events
from tests.support.product import Engine, Product, call, engine
from tests.support.scripted_model import ScriptedModel
from tests.support.waiting import eventually


@pytest.mark.promise("fail-closed")
async def test_a_tool_server_that_is_killed_is_missed_and_comes_back(product: Product, me: Person) -> None:
    product.kubectl.deployment("stuck", replicas=1, image="registry.example/app:never-ready")
    waits = call("k8s_rollout_status", name="stuck", namespace=product.kubectl.namespace, wait_seconds=60)
    product.says(waits, "It could not be seen.")
    (before,) = product.engine.children()
    events: list[Event] = []
    async with me.asking("Wait for it") as response:
        async for event in read_events(response):
            events.append(event)
            if event["type"] == "tool.progress":
                os.kill(before, signal.SIGKILL)
                await eventually(lambda: is_missed(product.engine), 10, "the loss of the tool server")
    assert "tool.error" in [event["type"] for event in events]
    assert events[-1]["status"] == "completed"

    await eventually(product.engine.is_ready, 40, "the return of the tool server")
    assert product.engine.children() != [before]
    product.says(call("k8s_get", kind="deployments", namespace=product.kubectl.namespace), "There it is.")
    assert (await me.ask("Look again")).all("tool.result")


async def is_missed(running: Engine) -> bool:
    return (await running.readiness())["tool servers"]["state"] == "error"


@pytest.fixture(scope="module")
def unnamed(administrator: Kubectl, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine that found a kubeconfig of which nobody named a context."""
    with engine(tmp_path_factory.mktemp("unnamed"), model, administrator.kubeconfig) as running:
        yield running


@pytest.fixture(scope="module")
def bare(model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine without a cluster."""
    with engine(tmp_path_factory.mktemp("bare"), model, Path("nowhere") / "kubeconfig") as running:
        yield running


@pytest.mark.promise("fail-closed")
async def test_a_cluster_that_nobody_named_is_not_changed(bare: Engine, unnamed: Engine, product: Product) -> None:
    await unnamed.listens()
    product.kubectl.deployment(replicas=2)
    replace(product, engine=unnamed).says(
        call("k8s_scale", kind="deployment", name="web", namespace=product.kubectl.namespace, replicas=4), "I can't."
    )
    async with unnamed.person() as me:
        answer = await me.ask("Scale it")
    assert f"CLUSTERS={product.kubectl.context}" in answer["tool.error"]["error"]
    assert not answer.waiting
    assert product.kubectl.get("deployment", "web")["spec"]["replicas"] == 2


async def test_without_a_kubeconfig_it_starts_and_says_what_is_missing(bare: Engine, product: Product) -> None:
    await bare.listens()
    missing = "nowhere/kubeconfig is not there. Set KUBECONFIG"
    assert missing in bare.said

    async def is_said() -> bool:
        return missing in str((await bare.readiness())["cluster"])

    await eventually(is_said, 40, "the hint in /health/ready")
    replace(product, engine=bare).says(call("k8s_get", kind="pods"), "There is no cluster.")
    async with bare.person() as me:
        answer = await me.ask("List pods")
    assert answer.last["status"] == "completed"
    assert "KUBECONFIG" in answer["tool.error"]["error"]
