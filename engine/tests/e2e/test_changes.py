"""Test every kind of change on a real cluster: previewed, approved, and run once exactly as previewed."""

from typing import Any

import pytest

from tests.support.api_user import Answer, ApiUser
from tests.support.kubectl import Kubectl, Object
from tests.support.product import Product, tool_call

RESTARTED = "kubectl.kubernetes.io/restartedAt"
MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web, namespace: {namespace}}}
spec: {{replicas: 5}}
"""


async def asked_for(product: Product, me: ApiUser, tool: str, **arguments: Any) -> Answer:
    """Let the model propose one change, which then waits for a decision."""
    product.set_script(tool_call(tool, namespace=product.kubectl.namespace, **arguments), "Done.")
    asked = await me.ask("Change it")
    assert len(asked.waiting) == 1, asked.events
    return asked


def generation(found: Object) -> int:
    return int(found["metadata"]["generation"])


@pytest.mark.promise("once", "no-approval-no-effect")
async def test_patch_decided_twice_runs_once(product: Product, me: ApiUser) -> None:
    before = product.kubectl.create_deployment()
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
async def test_restart_changes_only_the_pod_template(product: Product, me: ApiUser) -> None:
    before = product.kubectl.create_deployment()
    asked = await asked_for(product, me, "k8s_rollout_restart", kind="Deployment", name="web")
    await me.decide(asked, asked.waiting[0])
    after = product.kubectl.get("deployment", "web")
    assert RESTARTED in after["spec"]["template"]["metadata"].pop("annotations")
    assert after["spec"]["template"]["spec"] == before["spec"]["template"]["spec"]
    assert generation(after) == generation(before) + 1


@pytest.mark.promise("no-approval-no-effect")
async def test_denied_deletion_is_skipped_and_approved_one_runs(product: Product, me: ApiUser) -> None:
    product.kubectl("create", "configmap", "old", "--from-literal=a=1")
    asked = await asked_for(product, me, "k8s_delete", kind="configmap", name="old")
    await me.decide(asked, asked.waiting[0], approve=False, reason="still in use")
    assert product.kubectl.exists("configmap", "old")
    assert "still in use" in str(product.model.requests[-1].body)

    asked = await asked_for(product, me, "k8s_delete", kind="configmap", name="old")
    assert asked["tool.awaiting_approval"]["risk"] == "destructive"
    await me.decide(asked, asked.waiting[0])
    assert not product.kubectl.exists("configmap", "old")


async def test_fields_of_another_manager_need_force_in_the_preview(product: Product, me: ApiUser) -> None:
    product.kubectl.create_deployment(replicas=2)
    manifests = MANIFEST.format(namespace=product.kubectl.namespace)
    product.set_script(
        tool_call("k8s_apply", manifests=manifests), tool_call("k8s_apply", manifests=manifests, force=True), "Done."
    )
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
async def test_concurrently_edited_object_needs_a_new_approval(product: Product, me: ApiUser) -> None:
    product.kubectl.create_deployment(replicas=2)
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
async def test_status_and_untouched_fields_do_not_make_a_preview_stale(product: Product, me: ApiUser) -> None:
    product.kubectl.create_deployment(replicas=2)
    asked = await asked_for(product, me, "k8s_scale", kind="deployment", name="web", replicas=4)
    condition = {"type": "Noted", "status": "True", "reason": "Test", "message": "a controller wrote this"}
    product.kubectl.patch("deployment", "web", {"status": {"conditions": [condition]}}, "--subresource=status")
    product.kubectl("label", "deployment", "web", "team=shop")
    done = await me.decide(asked, asked.waiting[0])
    assert not done.all("tool.stale")
    assert scaled(product.kubectl) == 4
