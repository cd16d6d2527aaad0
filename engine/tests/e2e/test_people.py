"""Test that Kubernetes RBAC and audit log see the requester for reads and the approver for changes."""

import json
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from src.api.adapters.store.store import open_store
from tests.support.kubectl import Kubectl, Object
from tests.support.product import Product, start_product, tool_call
from tests.support.scripted_model import ScriptedModel
from tests.support.services import Cluster
from tests.support.team import Team

SHOP = "shop"


@dataclass(frozen=True)
class Shop:
    """A namespace that alice may edit and bob may view, and an engine whose own identity may only read."""

    product: Product
    audit_log: Any

    def requests(self, word: str) -> list[Object]:
        """Return the audited requests that mention this word, without the administrator's."""
        return [json.loads(line) for line in self.audit_log.read_text().splitlines() if word in line]


@pytest.fixture(scope="module")
def people(cluster: Cluster, administrator: Kubectl) -> str:
    """Return the context of the tool server's own identity."""
    if f"{cluster.context}-alice" not in cluster.kubeconfig.read_text():
        pytest.skip("NOT TESTED: people: TEST_KUBECONFIG is a cluster without them")
    return f"{cluster.context}-skyflo"


@pytest.fixture(scope="module")
def staffed(
    people: str, administrator: Kubectl, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    folder = tmp_path_factory.mktemp("people")
    settings = {"CLUSTERS": people, "KUBERNETES_IMPERSONATE": "true", "REGISTRATION_ENABLED": "true"}
    with start_product(folder, model, administrator.kubeconfig, **settings) as running:
        yield Product(running, model, replace(administrator, namespace=SHOP), folder)


@pytest.fixture
async def shop(staffed: Product, cluster: Cluster) -> Shop:
    await staffed.engine.wait_until_listening()
    return Shop(staffed, cluster.audit_log)


@pytest.fixture
async def team(shop: Shop) -> AsyncIterator[Team]:
    async with open_store(f"sqlite://{shop.product.folder / 'data' / 'skyflo.sqlite3'}") as store:
        yield Team(f"{shop.product.engine.address}/api/v1", store)


@pytest.fixture
def note(shop: Shop) -> Iterator[str]:
    """Create a ConfigMap in the namespace."""
    name = f"note-{secrets.token_hex(4)}"
    shop.product.kubectl("create", "configmap", name, "--from-literal=a=1")
    yield name
    shop.product.kubectl("delete", "configmap", name)


def patched(note: str) -> Any:
    return tool_call("k8s_patch", kind="configmap", name=note, namespace=SHOP, patch={"data": {"a": "2"}})


@pytest.mark.promise("authorised", "attribution")
async def test_kubernetes_audit_log_names_requester_and_approver(shop: Shop, team: Team, note: str) -> None:
    await team.add("alice", "member", "alice", "developers")
    await team.add("ann", "approver", "ann", "developers")
    look = tool_call("k8s_get", kind="configmap", name=note, namespace=SHOP)
    shop.product.set_script(look, patched(note), "Done.")
    async with team.open_user("alice") as alice, team.open_user("ann") as ann:
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
async def test_user_without_rights_gets_an_explanation(shop: Shop, team: Team, note: str) -> None:
    await team.add("eve", "member", "eve")
    shop.product.set_script(
        tool_call("k8s_get", kind="configmap", name=note, namespace=SHOP), patched(note), "I may not."
    )
    async with team.open_user("eve") as eve:
        asked = await eve.ask("Look, and change it")
    looked, changed = asked.all("tool.error")
    assert "forbidden" in looked["error"]
    assert "eve" in looked["error"]
    assert "forbidden" in changed["error"]
    assert asked.waiting == []


@pytest.mark.promise("bound", "fail-closed")
async def test_forbidden_preview_is_shown_again_to_the_approver(shop: Shop, team: Team, note: str) -> None:
    await team.add("bob", "member", "bob", "viewers")
    await team.add("alicia", "approver", "alice", "developers")
    shop.product.set_script(patched(note), "Done.")
    async with team.open_user("bob") as bob, team.open_user("alicia") as alicia:
        asked = await bob.ask("Change it")
        assert "not checked by the API server" in asked["tool.awaiting_approval"]["preview"]["no_preview"]
        refused = await bob.post_decision(asked, asked.waiting[0])
        assert refused.status_code == 403, refused.text
        again = await alicia.decide(asked, asked.waiting[0])
        assert again["tool.awaiting_approval"]["supersedes"] == asked.waiting[0]
        assert again["tool.awaiting_approval"]["preview"]["no_preview"] is None
        assert shop.product.kubectl.get("configmap", note)["data"] == {"a": "1"}
        done = await alicia.decide(asked, again.waiting[0])
    assert "tool.result" in done.types, done.events
    assert shop.product.kubectl.get("configmap", note)["data"] == {"a": "2"}
