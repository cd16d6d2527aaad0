"""k8s_exec runs a command in a container, as its preview shows it."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cluster_namespace import KubeNamespace, connect_as_admin
from tool_client import ToolClient, open_tool_client, settings_for

from skyflo_common.jsontypes import JsonObject, text_at
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from tests.support.services import Cluster
from tests.support.waiting import eventually

POD: JsonObject = {"containers": [{"name": "app", "image": "localhost/busybox:1", "command": ["sleep", "1000"]}]}


async def create_running_pod(namespace: KubeNamespace) -> str:
    """Create a pod and return its uid when it runs."""
    await namespace.create("pods", {"metadata": {"name": "web"}, "spec": POD})

    async def is_running() -> bool:
        return (await namespace.get("pods", "web")).at("status", "phase") == "Running"

    await eventually(is_running)
    return (await namespace.get("pods", "web")).uid


@pytest.mark.promise("bound", "fresh")
async def test_preview_shows_the_whole_command_and_pins_the_pod(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    uid = await create_running_pod(namespace)
    one: JsonObject = {"pod": "web", "namespace": namespace.name}
    arguments = one | {"argv": ["echo $1\nrm -r /tmp/\u202ex", "a b"], "shell": True}
    preview = await tool_client.preview("k8s_exec", arguments)
    where = f"container app of pod/web in {namespace.name}"
    expected = [f"+run in {where}: sh -c 'echo $1", "+rm -r /tmp/<U+202E>x' sh 'a b'"]
    assert str(preview["diff"]).splitlines() == expected
    assert text_at(preview, "risk", "level") == "destructive"
    assert "it runs a shell" in str(preview["warnings"])
    assert [each["uid"] for each in preview["preconditions"]["objects"]] == [uid]  # type: ignore[index,call-overload]
    await namespace.delete("pods", "web")
    stale = await tool_client.call_with_grant("k8s_exec", arguments, preview["preconditions"])
    assert stale.has_error("not_found") or stale.has_error("bad_arguments")
    await create_running_pod(namespace)
    recreated = await tool_client.call_with_grant("k8s_exec", arguments, preview["preconditions"])
    assert recreated.has_error("stale_preview")


async def test_secrets_of_a_command_are_masked(tool_client: ToolClient, namespace: KubeNamespace) -> None:
    await create_running_pod(namespace)
    argv = ["login", "--password", "canary-4711"]
    arguments: JsonObject = {"pod": "web", "namespace": namespace.name, "argv": [*argv]}
    preview = await tool_client.read("k8s_exec__preview", **arguments)
    assert "canary" not in preview.text + str(preview.data)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"container": "none"}, "its containers: app"),
        ({"argv": ["x" * 16_000, "y" * 16_000]}, "can be shown for approval"),
        ({"argv": []}, "argv"),
        ({"pod": "none"}, "not found"),
    ],
)
async def test_command_that_can_not_run_is_refused(
    tool_client: ToolClient, namespace: KubeNamespace, changed: JsonObject, expected: str
) -> None:
    await create_running_pod(namespace)
    arguments: JsonObject = {"pod": "web", "namespace": namespace.name, "argv": ["ls"], **changed}
    refused = await tool_client.call("k8s_exec__preview", arguments)
    assert refused.is_error
    assert expected in refused.text


async def test_container_that_does_not_run_is_named_with_its_state(
    tool_client: ToolClient, namespace: KubeNamespace
) -> None:
    pod: JsonObject = {"containers": [{"name": "app", "image": "web:missing"}]}
    await namespace.create("pods", {"metadata": {"name": "web"}, "spec": pod})

    async def is_waiting() -> bool:
        return "ImagePull" in str((await namespace.get("pods", "web")).body)

    await eventually(is_waiting)
    refused = await tool_client.call("k8s_exec__preview", {"pod": "web", "namespace": namespace.name, "argv": ["ls"]})
    assert refused.has_error("bad_arguments")
    assert "container app does not run: pod/web Pending" in refused.text
    assert "ImagePull" in refused.text


@pytest.fixture
async def node_namespace(node_cluster: Cluster, tmp_path: Path) -> AsyncIterator[tuple[ToolClient, KubeNamespace]]:
    """A namespace on a cluster whose node runs real containers, and a tool server for it."""
    file, context = node_cluster.kubeconfig, node_cluster.context
    admin = connect_as_admin(file, context)
    name = f"t-{os.urandom(5).hex()}"
    await admin.send(json_request("POST", "/api/v1/namespaces", {"metadata": {"name": name}}))

    async def has_account() -> bool:
        return bool(await KubeNamespace(admin, name).list_objects("serviceaccounts"))

    await eventually(has_account)
    async with open_tool_client(settings_for(file, context, tmp_path)) as client:
        yield client, KubeNamespace(admin, name)
    await admin.send(ApiRequest("DELETE", f"/api/v1/namespaces/{name}"))
    await admin.aclose()


@pytest.mark.promise("bound", "no-injection")
async def test_commands_run_in_real_containers(node_namespace: tuple[ToolClient, KubeNamespace]) -> None:
    client, namespace = node_namespace
    await create_running_pod(namespace)
    one: JsonObject = {"pod": "web", "namespace": namespace.name}
    cases: list[tuple[JsonObject, int, str]] = [
        ({"argv": ["echo", "$HOME; exit 9", "a  b"]}, 0, "$HOME; exit 9 a  b\n"),
        ({"argv": ["echo $1 >&2; exit 7", "x"], "shell": True}, 7, "x\n"),
        ({"argv": ["kill -9 $$"], "shell": True}, 137, ""),
    ]
    for arguments, code, output in cases:
        result = await client.change("k8s_exec", one | arguments)
        assert (result.data["exit_code"], result.data["output"]) == (code, output)
    missing = await client.preview("k8s_exec", one | {"argv": ["no-such-program"]})
    failed = await client.call_with_grant("k8s_exec", one | {"argv": ["no-such-program"]}, missing["preconditions"])
    assert failed.has_error("command_not_started")
    slow: JsonObject = one | {"argv": ["sleep", "30"], "timeout_seconds": 1}
    preview = await client.preview("k8s_exec", slow)
    timed_out = await client.call_with_grant("k8s_exec", slow, preview["preconditions"])
    assert timed_out.has_error("command_timeout", "unknown")
    run: JsonObject = {"image": "localhost/busybox:1", "argv": ["echo", "hi"], "namespace": namespace.name}
    done = await client.change("k8s_run_pod", run)
    assert (done.data["exit_code"], done.data["output"]) == (0, "hi\n")
