"""Every kind of change on a real cluster: shown, approved, run once, exactly as shown."""

from typing import Any

import pytest

from tests.support.kubectl import Kubectl, Object
from tests.support.person import Answer, Person
from tests.support.product import Product, call

RESTARTED = "kubectl.kubernetes.io/restartedAt"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec: {{replicas: 5}}
"""


async def asked_for(product: Product, me: Person, tool: str, **arguments: Any) -> Answer:
    """The model asks for one change; it waits for a decision."""
    product.says(call(tool, namespace=product.kubectl.namespace, **arguments), "Done.")
    asked = await me.ask("Change it")
    assert len(asked.waiting) == 1, asked.events
    return asked


def generation(found: Object) -> int:
    return int(found["metadata"]["generation"])


@pytest.mark.promise("once", "no-approval-no-effect")
async def test_a_patch_runs_once_though_decided_twice(product: Product, me: Person) -> None:
    before = product.kubectl.deployment()
    patch = {"spec": {"template": {"metadata": {"annotations": {"release": "two"}}}}}
    asked = await asked_for(product, me, "k8s_patch", kind="deployment", name="web", patch=patch)
    assert "+        release: two" in asked["tool.awaiting_approval"]["preview"]["diff"]
    assert generation(product.kubectl.get("deployment", "web")) == generation(before)

    done = await me.decide(asked, asked.waiting[0])
    again = await me.decide(asked, asked.waiting[0])

    assert len(done.all("tool.result")) == 1
    assert again.last["type"] == "workflow_complete"
    after = product.kubectl.get("deployment", "web")
    assert after["spec"]["template"]["metadata"]["annotations"] == {"release": "two"}
    assert generation(after) == generation(before) + 1


@pytest.mark.promise("no-approval-no-effect")
async def test_a_restart_touches_the_pod_template_alone(product: Product, me: Person) -> None:
    before = product.kubectl.deployment()
    asked = await asked_for(product, me, "k8s_rollout_restart", kind="Deployment", name="web")
    await me.decide(asked, asked.waiting[0])
    after = product.kubectl.get("deployment", "web")
    assert RESTARTED in after["spec"]["template"]["metadata"].pop("annotations")
    assert after["spec"]["template"]["spec"] == before["spec"]["template"]["spec"]
    assert generation(after) == generation(before) + 1


@pytest.mark.promise("no-approval-no-effect")
async def test_what_is_denied_stays_and_what_is_approved_is_deleted(product: Product, me: Person) -> None:
    product.kubectl("create", "configmap", "old", "--from-literal=a=1")
    asked = await asked_for(product, me, "k8s_delete", kind="configmap", name="old")
    await me.decide(asked, asked.waiting[0], approve=False, reason="still in use")
    assert product.kubectl.exists("configmap", "old")
    assert "still in use" in str(product.model.asked[-1].body)

    asked = await asked_for(product, me, "k8s_delete", kind="configmap", name="old")
    assert asked["tool.awaiting_approval"]["risk"] == "destructive"
    await me.decide(asked, asked.waiting[0])
    assert not product.kubectl.exists("configmap", "old")


async def test_fields_of_another_manager_are_taken_over_only_by_force_that_is_shown(
    product: Product, me: Person
) -> None:
    product.kubectl.deployment(replicas=2)
    manifests = MANIFEST.format(namespace=product.kubectl.namespace)
    product.says(call("k8s_apply", manifests=manifests), call("k8s_apply", manifests=manifests, force=True), "Done.")
    asked = await me.ask("Apply it")
    assert "somebody" in asked["tool.error"]["error"]
    shown = asked["tool.awaiting_approval"]
    assert shown["risk"] == "high"
    assert any("somebody" in warning for warning in shown["preview"]["warnings"])
    assert shown["args"]["force"] is True

    done = await me.decide(asked, asked.waiting[0], digest=shown["digest"])

    assert len(done.all("tool.result")) == 1
    assert product.kubectl.get("deployment", "web")["spec"]["replicas"] == 5


def scaled(kubectl: Kubectl) -> int:
    return int(kubectl.get("deployment", "web")["spec"]["replicas"])


@pytest.mark.promise("fresh")
async def test_an_object_edited_meanwhile_is_shown_anew_and_asked_for_again(product: Product, me: Person) -> None:
    product.kubectl.deployment(replicas=2)
    asked = await asked_for(product, me, "k8s_scale", kind="deployment", name="web", replicas=4)
    product.kubectl("scale", "deployment", "web", "--replicas=3")

    stale = await me.decide(asked, asked.waiting[0])

    assert stale["tool.stale"]["call_id"] == asked.waiting[0]
    assert not stale.all("tool.result")
    assert scaled(product.kubectl) == 3
    anew = stale["tool.awaiting_approval"]
    assert anew["supersedes"] == asked.waiting[0]
    assert "from 3 to 4" in anew["preview"]["summary"]
    done = await me.decide(asked, anew["call_id"])
    assert len(done.all("tool.result")) == 1
    assert scaled(product.kubectl) == 4


@pytest.mark.promise("fresh")
async def test_status_and_untouched_fields_do_not_make_a_preview_stale(product: Product, me: Person) -> None:
    product.kubectl.deployment(replicas=2)
    asked = await asked_for(product, me, "k8s_scale", kind="deployment", name="web", replicas=4)
    condition = {"type": "Noted", "status": "True", "reason": "Test", "message": "a controller wrote this"}
    product.kubectl.patch("deployment", "web", {"status": {"conditions": [condition]}}, "--subresource=status")
    product.kubectl("label", "deployment", "web", "team=shop")
    done = await me.decide(asked, asked.waiting[0])
    assert not done.all("tool.stale")
    assert scaled(product.kubectl) == 4
