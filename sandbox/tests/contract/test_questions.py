"""Questions to the sandbox model through the real tools, on the sandbox's cluster and on a real one."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kube_backend import Backend
from kube_manifests import service
from kube_namespace import Namespace
from model_conversation import Conversation, open_conversation
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_sandbox.model.markdown import SIGNATURE


@pytest.fixture
async def tool_client(backend: Backend, tmp_path: Path) -> AsyncIterator[ToolClient]:
    """Run the tool server in this process with permission to change the cluster."""
    async with open_tool_client(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


@pytest.fixture
async def conversation(tool_client: ToolClient) -> AsyncIterator[Conversation]:
    """Open a conversation in which every change is approved."""
    async with open_conversation(tool_client) as conversation:
        yield conversation


def broken(namespace: Namespace, name: str, image: str, until: str) -> None:
    """Roll out a deployment, then give it a bad image, and wait for a failing pod."""
    namespace.running_deployment(name, replicas=2, image=f"{name}:1.0")
    container = {"name": "app", "image": f"{name}:{image}"}
    namespace.patch("deployments", name, {"spec": {"template": {"spec": {"containers": [container]}}}}).expect()
    namespace.wait_for_all(
        "pods",
        lambda pods: any(until in str(pod["status"].get("containerStatuses", "")) for pod in pods),
        f"a pod of {name} is in {until}",
    )


async def test_pods_are_listed_and_counted(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", replicas=3)
    listed = await conversation.ask(f"list the pods in {namespace.name}")
    assert f"**3 pods** in `{namespace.name}`, all well" in listed.answer
    assert all(name in listed.answer for name in namespace.names("pods"))
    count_of = await conversation.ask(f"how many deployments are there in namespace {namespace.name}?")
    assert "**1 deployment**" in count_of.answer
    assert "There is no namespace `nowhere-at-all`" in (await conversation.ask("list pods in nowhere-at-all")).answer


async def test_deployment_is_described(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", image="app:7")
    answer = (await conversation.ask(f"describe deployment web in {namespace.name}")).answer
    assert "container `app` runs `app:7`" in answer
    assert "Available=True" in answer
    assert "ScalingReplicaSet" in answer


async def test_logs_are_shown_unchanged(conversation: Conversation, namespace: Namespace) -> None:
    pod = namespace.pod_with_logs("web")
    shown = await conversation.ask(f"show the last 2 lines of the logs of web in {namespace.name}")
    lines = next(made for made in shown.made("k8s_logs")).result.splitlines()
    assert pod in shown.answer
    assert lines[-1] in shown.answer
    assert "contain `no-such-words`" in (await conversation.ask("logs of it containing no-such-words")).answer


async def test_missing_image_is_explained_and_rolled_back(conversation: Conversation, namespace: Namespace) -> None:
    broken(namespace, "web", "missing", "ImagePull")
    why = await conversation.ask(f"why is web failing in {namespace.name}?")
    assert "The image `web:missing` of container `app` can't be pulled" in why.answer
    assert "ImagePullBackOff" in why.answer or "ErrImagePull" in why.answer
    assert why.changes == []
    fixed = await conversation.ask("fix it")
    assert [made.tool for made in fixed.changes] == ["k8s_patch"]
    assert "ran `web:1.0`" in fixed.said[-1]
    assert "Verified: the rollout of `web` is complete" in fixed.answer
    assert namespace.wait_for_rollout("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1.0"
    assert "nothing to fix" in (await conversation.ask("fix web")).answer


async def test_crash_loop_is_explained_with_last_lines_and_rolled_back(
    conversation: Conversation, namespace: Namespace
) -> None:
    broken(namespace, "web", "crash", "CrashLoopBackOff")
    why = await conversation.ask(f"why does web in {namespace.name} keep crashing?")
    assert "exit code 1 (a crash loop)" in why.answer
    assert "```" in why.answer
    fixed = await conversation.ask("yes")
    assert len(fixed.changes) == 1
    assert "Verified" in fixed.answer
    assert namespace.wait_for_rollout("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1.0"


async def test_selector_without_pods_is_explained_and_fixed(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("front", replicas=2)
    namespace.create("services", service("front", app="fornt"))
    why = await conversation.ask(f"why is the front service in {namespace.name} not reachable?")
    assert "its selector `app=fornt` matches no pod" in why.answer
    assert "pods of deployment `front` carry the labels `app=front`" in why.answer
    fixed = await conversation.ask("fix it")
    assert fixed.changes[0].arguments["patch"] == {"spec": {"selector": {"app": "front"}}}
    assert "now matches 2 pods, 2 of them ready" in fixed.answer
    assert namespace.get("services", "front")["spec"]["selector"] == {"app": "front"}


async def test_overview_finds_only_what_is_broken(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("well", replicas=1)
    assert "Nothing is wrong" in (await conversation.ask(f"what is wrong in {namespace.name}?")).answer
    broken(namespace, "web", "missing", "ImagePull")
    namespace.create("services", service("lost", app="nobody"))
    answer = (await conversation.ask(f"is everything ok in {namespace.name}?")).answer
    assert "**2 problems**" in answer
    assert f"deployment `web` in `{namespace.name}`" in answer
    assert f"service `lost` in `{namespace.name}`" in answer
    assert "`well`" not in answer


async def test_scaling_is_verified(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", replicas=2)
    scaled = await conversation.ask(f"scale web in {namespace.name} to 4")
    assert "Scaled the deployment `web`" in scaled.answer
    assert "complete" in scaled.answer
    assert "4 pods, all up and ready" in scaled.answer
    await conversation.ask("scale it down by one")
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 3
    again = await conversation.ask("scale it to 3")
    assert again.changes == []
    assert "already set to 3 replicas" in again.answer


async def test_restart_replaces_the_pods(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", replicas=1)
    before = namespace.names("pods")
    restarted = await conversation.ask(f"restart deployment/web -n {namespace.name}")
    assert "Verified" in restarted.answer
    namespace.wait_for_all("pods", lambda pods: [pod["metadata"]["name"] for pod in pods] != before, "a new pod")


async def test_roll_back_restores_the_previous_image(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", image="web:1")
    changed = await conversation.ask(f"set the image of web in {namespace.name} to web:2")
    assert "`web:1` → `web:2`" in changed.answer
    assert namespace.wait_for_rollout("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    back = await conversation.ask("roll it back")
    assert "Verified" in back.answer
    assert namespace.wait_for_rollout("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"


async def test_deleted_object_is_verified_as_gone(conversation: Conversation, namespace: Namespace) -> None:
    namespace.running_deployment("web", replicas=1)
    namespace.create_config_map("settings", A="1")
    gone = await conversation.ask(f"delete configmap settings in {namespace.name}")
    assert "Deleted: the configmap `settings`" in gone.answer
    assert namespace.try_get("configmaps", "settings").status == 404
    (pod,) = namespace.names("pods")
    deleted = await conversation.ask(f"delete pod {pod} in {namespace.name}")
    assert "Deployment `web`" in deleted.answer
    assert (
        "I found no configmap named `settings`"
        in (await conversation.ask(f"delete configmap settings in {namespace.name}")).answer
    )


async def test_applied_manifest_is_verified(conversation: Conversation, namespace: Namespace) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\ndata:\n  GREETING: hello\n"
    applied = await conversation.ask(f"apply this in {namespace.name}:\n```yaml\n{manifest}```")
    assert "configmap `made`" in applied.answer
    assert namespace.get("configmaps", "made")["data"] == {"GREETING": "hello"}
    value = await conversation.ask(f"set GREETING=goodbye in made in namespace {namespace.name}")
    assert "now has `GREETING`" in value.answer
    assert namespace.get("configmaps", "made")["data"] == {"GREETING": "goodbye"}


async def test_denied_change_changes_nothing(tool_client: ToolClient, namespace: Namespace) -> None:
    namespace.running_deployment("web", replicas=2)
    async with open_conversation(tool_client, lambda *_: "too risky") as conversation:
        denied = await conversation.ask(f"scale web in {namespace.name} to 0")
    assert 'The reason: "too risky"' in denied.answer
    assert namespace.get("deployments", "web")["spec"]["replicas"] == 2


async def test_read_only_cluster_says_how_to_allow_changes(
    backend: Backend, namespace: Namespace, tmp_path: Path
) -> None:
    namespace.running_deployment("web", replicas=1)
    settings = settings_for(backend.kubeconfig, f"{backend.context}:read", tmp_path)
    async with open_tool_client(settings) as tools, open_conversation(tools) as conversation:
        refused = await conversation.ask(f"scale web in {namespace.name} to 2")
        clusters = await conversation.ask("which clusters are there?")
    assert "is marked :read in CLUSTERS" in refused.answer
    assert f"set CLUSTERS={backend.context}" in refused.answer
    assert "read-only" in clusters.answer
    assert refused.answer.endswith(SIGNATURE)


async def test_custom_kinds_and_permissions_are_read(conversation: Conversation, namespace: Namespace) -> None:
    listed = await conversation.ask(f"show the feature flags in {namespace.name}")
    assert "There are no featureflags" in listed.answer
    assert "yes, may delete pods" in (await conversation.ask(f"can I delete pods in {namespace.name}?")).answer
