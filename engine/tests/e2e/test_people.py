"""Kubernetes' own RBAC and audit log see the people: whoever asks when looking, whoever approves when changing."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from src.api.adapters.store.store import open_store
from tests.support.kubectl import Kubectl, Object
from tests.support.product import Product, call, engine
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster
from tests.support.team import Team

SHOP = "shop"


@dataclass(frozen=True)
class Shop:
    """The namespace in which alice edits and bob views, and an engine whose own identity may only look."""

    product: Product
    audit_log: Any

    def requests(self, word: str) -> list[Object]:
        """What the API server has written down about this, but for what its administrator did."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines() if word in line]


@pytest.fixture(scope="module")
def people(cluster: Cluster, administrator: Kubectl) -> str:
    """The context of the tool server's own identity."""
    if f"{cluster.context}-alice" not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: people: TEST_KUBECONFIG is a cluster without them")
    return f"{cluster.context}-skyflo"


@pytest.fixture(scope="module")
def staffed(
    people: str, administrator: Kubectl, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("people")
    settings = {"CLUSTERS": people, "KUBERNETES_IMPERSONATE": "true", "REGISTRATION_ENABLED": "true"}
    with engine(folder, model, administrator.kubeconfig, **settings) as running:
        yield Product(running, model, replace(administrator, namespace=SHOP), folder)


@pytest.fixture
async def shop(staffed: Product, cluster: Cluster) -> Shop:
    await staffed.engine.listens()
    return Shop(staffed, cluster.audit_log)


@pytest.fixture
async def team(shop: Shop) -> AsyncIterator[Team]:
    async with open_store(f"sqlite://{shop.product.folder / 'data' / 'skyflo.sqlite3'}") as store:
        yield Team(f"{shop.product.engine.address}/api/v1", store)


@pytest.fixture
def note(shop: Shop) -> Iterator[str]:
    """A ConfigMap in shop."""
    name = f"note-{secrets.token_hex(4)}"
    shop.product.kubectl("create", "configmap", name, "--from-literal=a=1")
    yield name
    shop.product.kubectl("delete", "configmap", name)


def patched(note: str) -> Any:
    return call("k8s_patch", kind="configmap", name=note, namespace=SHOP, patch={"data": {"a": "2"}})


@pytest.mark.promise("authorised", "reason-travels")
async def test_the_audit_log_sees_who_asked_and_who_approved(shop: Shop, team: Team, note: str) -> None:
    await team.add("alice", "member", "alice", "developers")
    await team.add("ann", "approver", "ann", "developers")
    look = call("k8s_get", kind="configmap", name=note, namespace=SHOP)
    shop.product.says(look, patched(note), "Done.")
    async with team.person("alice") as alice, team.person("ann") as ann:
        asked = await alice.ask("Change it")
        assert asked["tool.awaiting_approval"]["preview"]["allowed"]["allowed"] is True
        done = await ann.decide(asked, asked.waiting[0])
    assert "tool.result" in done.types, done.events
    seen = shop.requests(note)
    assert {each["user"]["username"] for each in seen} == {"skyflo"}
    written = [each for each in seen if each["verb"] == "patch" and "dryRun" not in each["requestURI"]]
    [change] = [each["impersonatedUser"] for each in written if each["stage"] == "ResponseComplete"]
    assert (change["username"], change["extra"]) == ("ann", {"approval": [asked.waiting[0]]})
    before = [each["impersonatedUser"] for each in seen if "extra" not in each["impersonatedUser"]]
    assert {each["username"] for each in before} == {"alice"}
    assert all("developers" in each["groups"] for each in before)


@pytest.mark.promise("authorised", "fail-closed")
async def test_who_may_see_nothing_is_told_so(shop: Shop, team: Team, note: str) -> None:
    await team.add("eve", "member", "eve")
    shop.product.says(call("k8s_get", kind="configmap", name=note, namespace=SHOP), patched(note), "I may not.")
    async with team.person("eve") as eve:
        asked = await eve.ask("Look, and change it")
    looked, changed = asked.all("tool.error")
    assert "forbidden" in looked["error"]
    assert "eve" in looked["error"]
    assert "forbidden" in changed["error"]
    assert asked.waiting == []


@pytest.mark.promise("bound", "fail-closed")
async def test_what_the_requester_may_not_try_is_shown_to_the_approver_first(shop: Shop, team: Team, note: str) -> None:
    await team.add("bob", "member", "bob", "viewers")
    await team.add("alicia", "approver", "alice", "developers")
    shop.product.says(patched(note), "Done.")
    async with team.person("bob") as bob, team.person("alicia") as alicia:
        asked = await bob.ask("Change it")
        assert "not checked by the API server" in asked["tool.awaiting_approval"]["preview"]["no_preview"]
        refused = await bob.decided(asked, asked.waiting[0])
        assert refused.status_code == 403, refused.text
        again = await alicia.decide(asked, asked.waiting[0])
        assert again["tool.awaiting_approval"]["supersedes"] == asked.waiting[0]
        assert again["tool.awaiting_approval"]["preview"]["no_preview"] is None
        assert shop.product.kubectl.get("configmap", note)["data"] == {"a": "1"}
        done = await alicia.decide(asked, again.waiting[0])
    assert "tool.result" in done.types, done.events
    assert shop.product.kubectl.get("configmap", note)["data"] == {"a": "2"}
