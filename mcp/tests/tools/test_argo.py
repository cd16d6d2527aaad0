"""The Argo Rollouts tools steer real Rollouts: each change does to spec and status what its preview shows."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from cluster_namespace import KubeNamespace, connect_as_admin, deployment_manifest
from fastmcp.client import Client
from jsonschema import Draft202012Validator
from tool_client import CallResult, ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at
from skyflo_tools.kubernetes.argo_rollouts import ArgoRollout, describe_run
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from skyflo_tools.kubernetes.objects import KubeObject
from tests.support.services import Cluster
from tests.support.waiting import eventually

CANARY: JsonObject = {"canary": {"steps": [{"setWeight": 50}, {"pause": {}}, {"setWeight": 80}, {"pause": {}}]}}


def manifest(strategy: JsonObject, image: str = "web:1") -> JsonObject:
    body = deployment_manifest("web", 2, image)
    return body | {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "spec": object_at(body, "spec") | {"strategy": strategy},
    }


def changed_lines(result: JsonObject) -> list[str]:
    """Return what a diff changes. The lines around it are of a status that the controller keeps up to date."""
    return [line for line in text_at(result, "diff").splitlines() if line.startswith(("+", "-"))]


@dataclass(frozen=True)
class Argo:
    """A namespace of a cluster with the real controller, and a tool server for it."""

    client: ToolClient
    namespace: KubeNamespace

    @property
    def web(self) -> JsonObject:
        return {"name": "web", "namespace": self.namespace.name}

    async def rollout(self) -> ArgoRollout:
        return ArgoRollout(await self.namespace.get("rollouts", "web"))

    async def reach(self, phase: str, is_so: Callable[[ArgoRollout], bool] = lambda _: True) -> ArgoRollout:
        async def is_reached() -> bool:
            now = await self.rollout()
            return now.phase == phase and is_so(now)

        await eventually(is_reached, what=f"the phase {phase}")
        return await self.rollout()

    async def create(self, strategy: JsonObject) -> ArgoRollout:
        await self.namespace.create("rollouts", manifest(strategy))
        return await self.reach("Healthy", lambda now: bool(now.stable_hash))

    async def change(self, tool: str, **arguments: JsonValue) -> JsonObject:
        """Preview and execute a change, which must do what its preview shows. Returns the preview."""
        preview = await self.client.preview(tool, self.web | arguments)
        result = await self.client.call_with_grant(tool, self.web | arguments, preview["preconditions"])
        assert not result.is_error, result.text
        assert changed_lines(result.data) == changed_lines(preview) != []
        return preview

    async def refused(self, tool: str, **arguments: JsonValue) -> CallResult:
        return await self.client.call(f"{tool}__preview", self.web | arguments)


@pytest.fixture
async def argo(rollouts_cluster: Cluster, tmp_path: Path) -> AsyncIterator[Argo]:
    file, context = rollouts_cluster.kubeconfig, rollouts_cluster.context
    admin = connect_as_admin(file, context)
    name = f"t-{os.urandom(5).hex()}"
    await admin.send(json_request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))
    async with open_tool_client(settings_for(file, context, tmp_path)) as client:
        yield Argo(client, KubeNamespace(admin, name))
    await admin.send(ApiRequest("DELETE", f"/api/v1/namespaces/{name}"))
    await admin.aclose()


def image_of(rollout: ArgoRollout) -> str:
    return text_at(objects_at(rollout.found.body, "spec", "template", "spec", "containers")[0], "image")


@pytest.mark.promise("bound")
async def test_canary_is_promoted_step_by_step_and_then_fully(argo: Argo) -> None:
    first = await argo.create(CANARY)
    preview = await argo.change("argo_set_image", container="app", image="web:2")
    assert "-      - image: web:1" in str(preview["diff"]).replace("-        image", "-      - image")
    paused = await argo.reach("Paused", lambda now: now.step == 1)
    assert (image_of(paused), paused.stable_hash) == ("web:2", first.stable_hash)
    status = await argo.client.read("argo_status", **argo.web)
    assert (status.data["phase"], status.data["step"], status.data["weight"]) == ("Paused", "1/4", "50")
    preview = await argo.change("argo_promote")
    assert "end its pause (CanaryPauseStep), then setWeight: 80" in str(preview["summary"])
    assert text_at(preview, "risk", "level") == "medium"
    assert "-  pauseConditions:" in str(preview["diff"])
    later = await argo.reach("Paused", lambda now: now.step == 3)
    assert later.is_rolling_out
    preview = await argo.change("argo_promote", full=True)
    assert text_at(preview, "risk", "level") == "high"
    assert "+  promoteFull: true" in str(preview["diff"])
    done = await argo.reach("Healthy", lambda now: not now.is_rolling_out)
    assert done.stable_hash == paused.new_hash
    assert (await argo.refused("argo_promote", full=True)).has_error("no_difference")


@pytest.mark.promise("bound")
async def test_aborted_rollout_is_retried_and_undone(argo: Argo) -> None:
    first = await argo.create(CANARY)
    await argo.change("argo_set_image", container="app", image="web:2")
    await argo.reach("Paused")
    preview = await argo.change("argo_abort_rollout")
    assert text_at(preview, "risk", "level") == "destructive"
    assert "+  abort: true" in str(preview["diff"])
    aborted = await argo.reach("Degraded", lambda now: now.is_aborted)
    assert (await argo.client.read("argo_status", **argo.web)).data["aborted"] is True
    assert (await argo.refused("argo_promote")).has_error("bad_arguments")
    await argo.change("argo_retry")
    again = await argo.reach("Paused", lambda now: not now.is_aborted)
    assert again.new_hash == aborted.new_hash
    assert (await argo.refused("argo_retry")).has_error("bad_arguments")
    history = await argo.client.read("argo_history", **argo.web)
    assert history.data["compared"] == [1, 2]
    assert "web:2" in str(history.data["diff"])
    preview = await argo.change("argo_undo")
    assert "from revision 2 to 1" in str(preview["summary"])
    undone = await argo.reach("Healthy", lambda now: not now.is_rolling_out)
    assert (image_of(undone), undone.stable_hash) == ("web:1", first.stable_hash)
    assert "rollouts-pod-template-hash" not in str(undone.found.at("spec", "template"))


@pytest.mark.promise("bound")
async def test_pause_resume_and_restart_change_the_spec_alone(argo: Argo) -> None:
    await argo.create(CANARY)
    assert (await argo.refused("argo_resume_rollout")).has_error("bad_arguments")
    await argo.change("argo_pause_rollout")
    assert (await argo.refused("argo_pause_rollout")).has_error("no_difference")
    await argo.reach("Paused", lambda now: now.is_paused_by_spec)
    preview = await argo.client.preview("argo_set_image", argo.web | {"container": "app", "image": "web:2"})
    assert "it is paused by spec.paused: the change rolls out when it is resumed" in str(preview["warnings"])
    await argo.change("argo_resume_rollout")
    await argo.reach("Healthy", lambda now: not now.is_paused_by_spec)
    await argo.change("argo_rollout_restart")

    async def is_restarted() -> bool:
        found = (await argo.rollout()).found
        return found.at("status", "restartedAt") == found.at("spec", "restartAt") is not None

    await eventually(is_restarted, what="the restart")


@pytest.mark.promise("bound")
async def test_blue_green_preview_is_promoted(argo: Argo) -> None:
    for name in ("active", "preview"):
        service: JsonObject = {"ports": [{"port": 80}], "selector": {"app": "web"}}
        await argo.namespace.create("services", {"metadata": {"name": name}, "spec": service})
    services: JsonObject = {"activeService": "active", "previewService": "preview", "autoPromotionEnabled": False}
    await argo.create({"blueGreen": services})
    await argo.change("argo_set_image", container="app", image="web:2")
    paused = await argo.reach("Paused", lambda now: "BlueGreenPause" in now.pause_reasons)
    described = await argo.client.read("argo_describe", **argo.web)
    assert [each.rpartition(", ")[2] for each in described.data["versions"]] == ["preview", "active"]
    await argo.change("argo_promote")
    done = await argo.reach("Healthy", lambda now: not now.is_rolling_out)
    assert done.stable_hash == paused.new_hash


@pytest.mark.promise("fresh", "once")
async def test_approval_of_one_version_promotes_no_other(argo: Argo) -> None:
    await argo.create(CANARY)
    await argo.change("argo_set_image", container="app", image="web:2")
    second = await argo.reach("Paused")
    previews = {
        tool: (arguments, await argo.client.preview(tool, arguments))
        for tool, arguments in (("argo_promote", argo.web | {"full": True}), ("argo_abort_rollout", argo.web))
    }
    await argo.change("argo_set_image", container="app", image="web:3")
    await argo.reach("Paused", lambda now: now.new_hash != second.new_hash)
    for tool, (arguments, preview) in previews.items():
        result = await argo.client.call_with_grant(tool, arguments, preview["preconditions"])
        assert result.has_error("stale_preview"), result.text
        assert f"not {second.new_hash} as in the preview" in result.text
    left = await argo.rollout()
    assert (left.is_aborted, left.found.at("status", "promoteFull")) == (False, None)
    arguments, preview = argo.web, await argo.client.preview("argo_promote", argo.web)
    done = await argo.client.call_with_grant("argo_promote", arguments, preview["preconditions"], jti="one")
    assert not done.is_error, done.text
    repeated = await argo.client.call_with_grant("argo_promote", arguments, preview["preconditions"], jti="one")
    assert repeated.has_error("grant_used")


async def test_reads_show_rollouts_steps_and_analyses_in_their_schemas(argo: Argo) -> None:
    job: JsonObject = {"spec": {"template": {"spec": {"restartPolicy": "Never", "containers": [
        {"name": "check", "image": "check:1"}]}}, "backoffLimit": 0}}  # fmt: skip
    template: JsonObject = {"metrics": [{"name": "smoke", "provider": {"job": job}}]}
    body: JsonObject = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate"}
    await argo.namespace.create("analysistemplates", body | {"metadata": {"name": "smoke"}, "spec": template})
    steps: list[JsonValue] = [{"analysis": {"templates": [{"templateName": "smoke"}]}}, {"pause": {}}]
    await argo.create({"canary": {"steps": steps}})
    await argo.change("argo_set_image", container="app", image="web:2")
    await argo.reach("Paused", lambda now: now.step == 1)
    runs = await argo.client.read("argo_list_analysisruns", namespace=argo.namespace.name, rollout="web")
    assert [each["phase"] for each in objects_at(runs.data, "runs")] == ["Successful"]
    assert "smoke Successful (1 successful)" in runs.text
    described = await argo.client.read("argo_describe", **argo.web)
    assert described.data["steps"][1] == "step 1: pause: {} (now)"
    assert "analysisrun/" in described.text
    listed = await argo.client.read("argo_list_rollouts", namespace=argo.namespace.name)
    assert [(each["name"], each["step"]) for each in objects_at(listed.data, "rollouts")] == [("web", "1/2")]
    none = await argo.client.read("argo_list_experiments", namespace=argo.namespace.name)
    assert none.text == f"No Experiments in namespace {argo.namespace.name}."
    history = await argo.client.read("argo_history", **argo.web)
    status = await argo.client.read("argo_status", **argo.web, wait_seconds=1)
    generic = await argo.client.read("k8s_describe", kind="rollouts.argoproj.io", **argo.web)
    assert "replicaset/web-" in generic.text
    assert isinstance(argo.client.client, Client)
    schemas = {tool.name: tool.output_schema for tool in await argo.client.client.list_tools()}
    answers = {"argo_list_analysisruns": runs, "argo_describe": described, "argo_list_rollouts": listed,
               "argo_list_experiments": none, "argo_history": history, "argo_status": status}  # fmt: skip
    for name, answer in answers.items():
        assert [each.message for each in Draft202012Validator(schemas[name]).iter_errors(answer.data)] == [], name


async def test_rollout_with_the_template_of_a_deployment_is_not_changed(argo: Argo) -> None:
    await argo.namespace.create_deployment("api", replicas=0)
    body = manifest(CANARY)
    spec = object_at(body, "spec")
    del spec["template"]
    spec["workloadRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "api"}
    await argo.namespace.create("rollouts", body)
    for tool, arguments in (("argo_set_image", {"container": "app", "image": "web:2"}), ("argo_undo", {})):
        refused = await argo.refused(tool, **arguments)
        assert refused.has_error("bad_arguments")
        assert "it uses that of deployment/api" in refused.text


async def test_only_cluster_that_may_be_changed_is_meant(argo: Argo, rollouts_cluster: Cluster, tmp_path: Path) -> None:
    await argo.create(CANARY)
    file, context = rollouts_cluster.kubeconfig, rollouts_cluster.context
    (tmp_path / "both").mkdir()
    both = settings_for(file, f"{context}-alice:read,{context}", tmp_path / "both")
    async with open_tool_client(both) as client:
        preview = await client.preview("argo_pause_rollout", argo.web)
    assert [each["cluster"] for each in objects_at(preview, "objects")] == [context]


@pytest.mark.promise("fail-closed")
async def test_member_without_rights_gets_the_servers_sentence(
    argo: Argo, rollouts_cluster: Cluster, tmp_path: Path
) -> None:
    await argo.create(CANARY)
    await argo.change("argo_set_image", container="app", image="web:2")
    await argo.reach("Paused")
    context = f"{rollouts_cluster.context}-skyflo"
    (tmp_path / "2").mkdir()
    async with open_tool_client(settings_for(rollouts_cluster.kubeconfig, context, tmp_path / "2")) as client:
        preview = await client.preview("argo_promote", argo.web)
        assert object_at(preview, "allowed")["allowed"] is False
        assert "not checked by the API server" in str(preview["no_preview"])
        refused = await client.call_with_grant("argo_promote", argo.web, preview["preconditions"])
    assert refused.has_error("forbidden")
    assert 'User "skyflo" cannot patch resource "rollouts/status"' in refused.text
    assert (await argo.rollout()).phase == "Paused"


@pytest.mark.parametrize("tool", ["argo_list_rollouts", "argo_list_analysisruns", "argo_list_experiments"])
async def test_cluster_without_argo_rollouts_says_how_to_get_it(tool_client: ToolClient, tool: str) -> None:
    missing = await tool_client.call(tool, {"all_namespaces": True})
    assert missing.has_error("kind_missing")
    assert "argo-rollouts" in missing.text


def rollout_of(spec: JsonObject, status: JsonObject, generation: int = 1) -> ArgoRollout:
    return ArgoRollout(KubeObject({"metadata": {"generation": generation}, "spec": spec, "status": status}))


@pytest.mark.parametrize(
    ("rollout", "phase", "weight"),
    [
        (rollout_of({"strategy": CANARY}, {"phase": "Healthy", "observedGeneration": "1"}, 2), "Progressing", "100"),
        (rollout_of({"strategy": CANARY}, {"phase": "Healthy", "observedGeneration": "x"}), "Healthy", "100"),
        (rollout_of({"strategy": CANARY}, {"currentPodHash": "b", "stableRS": "a"}), "Progressing", "50"),
        (rollout_of({"strategy": CANARY}, {"currentPodHash": "b", "stableRS": "a", "abort": True}), "Progressing", "0"),
        (rollout_of({"strategy": CANARY}, {"canary": {"weights": {"canary": {"weight": 7}}}}), "Progressing", "7"),
        (rollout_of({"strategy": {"blueGreen": {}}}, {}), "Progressing", ""),
    ],
)
def test_phase_and_weight_follow_what_the_controller_has_seen(rollout: ArgoRollout, phase: str, weight: str) -> None:
    assert (rollout.phase, rollout.weight) == (phase, weight)


def test_failed_analysis_tells_the_metric_and_its_last_value() -> None:
    metric: JsonObject = {"name": "errors", "phase": "Failed", "failed": 2, "message": "too many",
                          "measurements": [{"value": "1"}, {"value": "9"}]}  # fmt: skip
    run = KubeObject({"status": {"phase": "Failed", "message": "errors failed", "metricResults": [metric]}})
    assert describe_run(run) == "Failed: errors failed; errors Failed (2 failed, latest value 9): too many"
