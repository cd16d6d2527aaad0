"""The chart with the real images on a node that runs them: used, upgraded under load, rolled back and removed.

Building the images takes minutes, so this runs only where TEST_IMAGE=1 is set. The node's network enforces no
NetworkPolicy, and it has one node: what needs more is checked as objects only, in `test_chart.py`.
"""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api_user import ApiUser
from tests.support.app import log_in, register_user
from tests.support.chart_release import PODS_WITHIN, Release, listed_objects, workload_on_the_node
from tests.support.image_store import ImageStore
from tests.support.kubectl import Kubectl
from tests.support.model_script import Reply, Rule, Script, Step, When
from tests.support.product import script_turns, tool_call
from tests.support.requests_under_load import StreamedRun, requests_under_load
from tests.support.services import Cluster
from tests.support.waiting import PATIENCE, eventually, wait_until

pytestmark = [
    pytest.mark.skipif(os.environ.get("TEST_IMAGE") != "1", reason="builds images: set TEST_IMAGE=1"),
    pytest.mark.timeout(2_400),
]
PERSON = "first@example.org"
CHANGED = "0.1.1-changed"


@pytest.fixture(scope="module")
def empty(
    node_cluster: Cluster, image_store: ImageStore, oci_registry: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Release]:
    """Push the images, of which a second version differs by what it calls itself, and prepare the node."""
    assert node_cluster.kubectl
    assert node_cluster.helm
    image_store.push(oci_registry, "first")
    image_store.push(oci_registry, "second", APP_VERSION=CHANGED)
    for name in ("postgresql", "redis"):
        image_store.push_service(name, oci_registry)
    administrator = Kubectl(node_cluster.kubectl, node_cluster.kubeconfig, node_cluster.context)
    folder: Path = tmp_path_factory.mktemp("chart")
    with workload_on_the_node(administrator, node_cluster.helm, oci_registry, folder) as prepared:
        yield prepared


@pytest.fixture(scope="module")
def before(empty: Release) -> set[str]:
    return listed_objects(empty.kubectl)


@pytest.fixture(scope="module")
def release(empty: Release, before: set[str]) -> Release:
    assert before
    notes = empty.install()
    assert f"kubectl --namespace {empty.kubectl.namespace} port-forward service/skyflo-engine 8080:80" in notes
    return empty


@pytest.fixture
async def person(release: Release) -> AsyncIterator[ApiUser]:
    """Sign the first user in, who becomes the admin."""
    async with httpx.AsyncClient(base_url=f"{release.address}/api/v1", timeout=PATIENCE) as client:
        if (await client.get("/app")).json()["setup"]:
            await register_user(client, PERSON)
        client.headers["authorization"] = f"Bearer {await log_in(client, PERSON)}"
        yield ApiUser(client)


async def test_approved_change_is_made_by_the_account_of_the_pod(
    release: Release, person: ApiUser, node_cluster: Cluster
) -> None:
    shop = release.shop
    where = {"kind": "deployment", "name": "web", "namespace": shop.namespace}
    release.model.script = script_turns(tool_call("k8s_scale", **where, replicas=2), "There are two now.")
    asked = await person.ask("Scale web to two")
    assert shop.get("deployment", "web")["spec"]["replicas"] == 1
    decided = await person.decide(asked, asked.waiting[0])
    assert decided.text == "There are two now."
    await eventually(lambda: shop.get("deployment", "web")["status"].get("readyReplicas") == 2, PODS_WITHIN, "the pods")
    account = f"system:serviceaccount:{release.kubectl.namespace}:skyflo-tools"
    path = f"/apis/apps/v1/namespaces/{shop.namespace}/deployments/web/scale?"
    lines = [json.loads(line) for line in node_cluster.audit_log.read_text().splitlines()]
    changes = [line for line in lines if line["requestURI"].startswith(path) and "dryRun" not in line["requestURI"]]
    assert [(line["user"]["username"], line["responseStatus"]["code"]) for line in changes] == [(account, 200)]


async def test_change_outside_of_the_chosen_namespaces_is_refused_by_the_cluster(
    release: Release, person: ApiUser
) -> None:
    where = {"kind": "deployment", "name": "skyflo-redis", "namespace": release.kubectl.namespace}
    release.model.script = script_turns(tool_call("k8s_scale", **where, replicas=0), "I may not.")
    asked = await person.ask("Scale redis to none")
    refused = await person.decide(asked, asked.waiting[0])
    assert "forbidden" in json.dumps(refused["tool.error"])
    assert release.kubectl.get("deployment", "skyflo-redis")["spec"]["replicas"] == 1


async def test_no_request_fails_while_releases_change_and_streams_resume(release: Release, person: ApiUser) -> None:
    long = Reply(steps=[Step(text="The first half, "), Step(until="changed"), Step(text="the second half.")])
    where = {"kind": "deployment", "name": "web", "namespace": release.shop.namespace}
    change = Reply(steps=[Step(calls=[tool_call("k8s_scale", **where, replicas=3)])])
    release.model.script = Script(
        rules=[
            Rule(when=When(user="Tell", turns=0), reply=long),
            Rule(when=When(user="Scale", turns=0), reply=change),
            Rule(when=When(user="Scale", turns=1), reply=Reply(steps=[Step(text="Three.")])),
        ]
    )
    waiting = await person.ask("Scale web to three")
    run = StreamedRun(person.client)
    await run.ask("Tell me all", until=lambda event: event["type"] == "token")
    token = person.client.headers["authorization"].removeprefix("Bearer ")
    async with requests_under_load(release.address, token) as load:
        following = asyncio.create_task(run.follow())
        await asyncio.to_thread(release.upgrade, "second")
        await eventually(lambda: CHANGED in load.versions, what="an answer of the new version")
        decided = await person.decide(waiting, waiting.waiting[0])
        await asyncio.to_thread(release.roll_back)
        release.model.resume("changed")
        await following
    assert load.failures == []
    assert load.answered > 100
    assert decided.text == "Three."
    assert run.streams > 1
    [_, answer] = await person.timeline(run.conversation_id)
    assert answer["content"] == "The first half, the second half."


def test_uninstalled_release_leaves_nothing(release: Release, before: set[str]) -> None:
    release.helm("uninstall", "skyflo")
    wait_until(lambda: listed_objects(release.kubectl) <= before, "an empty namespace", PODS_WITHIN)
