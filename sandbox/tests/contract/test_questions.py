"""The same questions, through the real tools, on the sandbox's cluster and on a real one: the model knows neither."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kubebackend import Backend
from kubeobjects import service
from kubespace import Space
from talkdriver import Conversation, talking
from toolkit import Toolbox, serving, settings_for

from skyflo_sandbox.model.answers import MARK


@pytest.fixture
async def toolbox(backend: Backend, tmp_path: Path) -> AsyncIterator[Toolbox]:
    """The tool server in this process, allowed to change the cluster."""
    async with serving(settings_for(backend.kubeconfig, backend.context, tmp_path)) as found:
        yield found


@pytest.fixture
async def talk(toolbox: Toolbox) -> AsyncIterator[Conversation]:
    """A conversation in which every change is approved."""
    async with talking(toolbox) as conversation:
        yield conversation


def broken(space: Space, name: str, image: str, until: str) -> None:
    """A Deployment that ran well until its image was changed to one that does not, and is in trouble by now."""
    space.running(name, replicas=2, image=f"{name}:1.0")
    container = {"name": "app", "image": f"{name}:{image}"}
    space.patch("deployments", name, {"spec": {"template": {"spec": {"containers": [container]}}}}).made()
    space.until_all(
        "pods",
        lambda pods: any(until in str(pod["status"].get("containerStatuses", "")) for pod in pods),
        f"a pod of {name} is in {until}",
    )


async def test_pods_are_listed_and_counted(talk: Conversation, space: Space) -> None:
    space.running("web", replicas=3)
    listed = await talk.ask(f"list the pods in {space.namespace}")
    assert f"**3 pods** in `{space.namespace}`, all well" in listed.answer
    assert all(name in listed.answer for name in space.names("pods"))
    counted = await talk.ask(f"how many deployments are there in namespace {space.namespace}?")
    assert "**1 deployment**" in counted.answer
    assert "There is no namespace `nowhere-at-all`" in (await talk.ask("list pods in nowhere-at-all")).answer


async def test_a_deployment_is_described(talk: Conversation, space: Space) -> None:
    space.running("web", image="app:7")
    answer = (await talk.ask(f"describe deployment web in {space.namespace}")).answer
    assert "container `app` runs `app:7`" in answer
    assert "Available=True" in answer
    assert "ScalingReplicaSet" in answer


async def test_logs_are_shown_as_they_are(talk: Conversation, space: Space) -> None:
    pod = space.talking("web")
    shown = await talk.ask(f"show the last 2 lines of the logs of web in {space.namespace}")
    lines = next(made for made in shown.made("k8s_logs")).result.splitlines()
    assert pod in shown.answer
    assert lines[-1] in shown.answer
    assert "contain `no-such-words`" in (await talk.ask("logs of it containing no-such-words")).answer


async def test_a_missing_image_is_explained_and_gone_back_from(talk: Conversation, space: Space) -> None:
    broken(space, "web", "missing", "ImagePull")
    why = await talk.ask(f"why is web failing in {space.namespace}?")
    assert "The image `web:missing` of container `app` can't be pulled" in why.answer
    assert "ImagePullBackOff" in why.answer or "ErrImagePull" in why.answer
    assert why.changes == []
    fixed = await talk.ask("fix it")
    assert [made.tool for made in fixed.changes] == ["k8s_patch"]
    assert "ran `web:1.0`" in fixed.said[-1]
    assert "Verified: the rollout of `web` is complete" in fixed.answer
    assert space.rolled_out("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1.0"
    assert "nothing to fix" in (await talk.ask("fix web")).answer


async def test_a_crash_loop_is_explained_with_the_last_words_and_gone_back_from(
    talk: Conversation, space: Space
) -> None:
    broken(space, "web", "crash", "CrashLoopBackOff")
    why = await talk.ask(f"why does web in {space.namespace} keep crashing?")
    assert "exit code 1 (a crash loop)" in why.answer
    assert "```" in why.answer
    fixed = await talk.ask("yes")
    assert len(fixed.changes) == 1
    assert "Verified" in fixed.answer
    assert space.rolled_out("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1.0"


async def test_a_selector_that_matches_nothing_is_explained_and_mended(talk: Conversation, space: Space) -> None:
    space.running("front", replicas=2)
    space.make("services", service("front", app="fornt"))
    why = await talk.ask(f"why is the front service in {space.namespace} not reachable?")
    assert "its selector `app=fornt` matches no pod" in why.answer
    assert "pods of deployment `front` carry the labels `app=front`" in why.answer
    fixed = await talk.ask("fix it")
    assert fixed.changes[0].arguments["patch"] == {"spec": {"selector": {"app": "front"}}}
    assert "now matches 2 pods, 2 of them ready" in fixed.answer
    assert space.get("services", "front")["spec"]["selector"] == {"app": "front"}


async def test_an_overview_finds_what_is_broken_and_nothing_else(talk: Conversation, space: Space) -> None:
    space.running("well", replicas=1)
    assert "Nothing is wrong" in (await talk.ask(f"what is wrong in {space.namespace}?")).answer
    broken(space, "web", "missing", "ImagePull")
    space.make("services", service("lost", app="nobody"))
    answer = (await talk.ask(f"is everything ok in {space.namespace}?")).answer
    assert "**2 problems**" in answer
    assert f"deployment `web` in `{space.namespace}`" in answer
    assert f"service `lost` in `{space.namespace}`" in answer
    assert "`well`" not in answer


async def test_scaling_is_verified(talk: Conversation, space: Space) -> None:
    space.running("web", replicas=2)
    scaled = await talk.ask(f"scale web in {space.namespace} to 4")
    assert "Scaled the deployment `web`" in scaled.answer
    assert "complete" in scaled.answer
    assert "4 pods, all up and ready" in scaled.answer
    await talk.ask("scale it down by one")
    assert space.get("deployments", "web")["spec"]["replicas"] == 3
    again = await talk.ask("scale it to 3")
    assert again.changes == []
    assert "already set to 3 replicas" in again.answer


async def test_a_restart_replaces_the_pods(talk: Conversation, space: Space) -> None:
    space.running("web", replicas=1)
    before = space.names("pods")
    restarted = await talk.ask(f"restart deployment/web -n {space.namespace}")
    assert "Verified" in restarted.answer
    space.until_all("pods", lambda pods: [pod["metadata"]["name"] for pod in pods] != before, "a new pod")


async def test_a_deployment_is_rolled_back_to_the_image_before(talk: Conversation, space: Space) -> None:
    space.running("web", image="web:1")
    changed = await talk.ask(f"set the image of web in {space.namespace} to web:2")
    assert "`web:1` → `web:2`" in changed.answer
    assert space.rolled_out("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    back = await talk.ask("roll it back")
    assert "Verified" in back.answer
    assert space.rolled_out("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "web:1"


async def test_one_object_is_deleted_and_seen_to_be_gone(talk: Conversation, space: Space) -> None:
    space.running("web", replicas=1)
    space.config_map("settings", A="1")
    gone = await talk.ask(f"delete configmap settings in {space.namespace}")
    assert "Deleted: the configmap `settings`" in gone.answer
    assert space.ask("configmaps", "settings").status == 404
    (pod,) = space.names("pods")
    deleted = await talk.ask(f"delete pod {pod} in {space.namespace}")
    assert "Deployment `web`" in deleted.answer
    assert (
        "I found no configmap named `settings`"
        in (await talk.ask(f"delete configmap settings in {space.namespace}")).answer
    )


async def test_a_manifest_is_applied_and_seen_to_be_there(talk: Conversation, space: Space) -> None:
    manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: made\ndata:\n  GREETING: hello\n"
    applied = await talk.ask(f"apply this in {space.namespace}:\n```yaml\n{manifest}```")
    assert "configmap `made`" in applied.answer
    assert space.get("configmaps", "made")["data"] == {"GREETING": "hello"}
    value = await talk.ask(f"set GREETING=goodbye in made in namespace {space.namespace}")
    assert "now has `GREETING`" in value.answer
    assert space.get("configmaps", "made")["data"] == {"GREETING": "goodbye"}


async def test_a_denied_change_changes_nothing(toolbox: Toolbox, space: Space) -> None:
    space.running("web", replicas=2)
    async with talking(toolbox, lambda *_: "too risky") as conversation:
        denied = await conversation.ask(f"scale web in {space.namespace} to 0")
    assert 'The reason: "too risky"' in denied.answer
    assert space.get("deployments", "web")["spec"]["replicas"] == 2


async def test_a_cluster_that_may_only_be_read_says_how_to_allow_more(
    backend: Backend, space: Space, tmp_path: Path
) -> None:
    space.running("web", replicas=1)
    settings = settings_for(backend.kubeconfig, f"{backend.context}:read", tmp_path)
    async with serving(settings) as tools, talking(tools) as conversation:
        refused = await conversation.ask(f"scale web in {space.namespace} to 2")
        clusters = await conversation.ask("which clusters are there?")
    assert "is marked :read in CLUSTERS" in refused.answer
    assert f"set CLUSTERS={backend.context}" in refused.answer
    assert "read-only" in clusters.answer
    assert refused.answer.endswith(MARK)


async def test_a_custom_kind_and_rights_can_be_asked_for(talk: Conversation, space: Space) -> None:
    listed = await talk.ask(f"show the feature flags in {space.namespace}")
    assert "There are no featureflags" in listed.answer
    assert "yes, may delete pods" in (await talk.ask(f"can I delete pods in {space.namespace}?")).answer
