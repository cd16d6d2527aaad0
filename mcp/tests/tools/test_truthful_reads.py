"""Nothing about a pod is left out of a read without being said, whatever state the pod is in."""

import itertools
import re

from cluster_namespace import KubeNamespace, deployment_manifest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pod_statuses import Truth, delete_pods, pod_specs, truths
from tool_client import ToolClient

from skyflo_common.jsontypes import dig
from skyflo_tools.kubernetes.objects import KubeObject
from tests.support.waiting import eventually

_numbers = itertools.count(1)
_LEFT_OUT = re.compile(r"left out\]…|^… \d+ more", re.MULTILINE)
FEW_EXAMPLES = settings(
    max_examples=10,
    phases=[Phase.reuse, Phase.generate],  # each example takes a second, and shrinking needs hundreds
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


def untold(text: str, facts: list[str]) -> list[str]:
    """Return the facts that a text does not tell. A text that says that something is left out may lack facts."""
    return [] if _LEFT_OUT.search(text) else [fact for fact in facts if fact not in text]


@given(data=st.data())
@FEW_EXAMPLES
async def test_reads_tell_everything_about_pods(
    tool_client: ToolClient, namespace: KubeNamespace, data: st.DataObject
) -> None:
    example = f"x{next(_numbers)}"
    spec = data.draw(pod_specs())
    pods = [data.draw(truths(f"{example}-{number}", spec)) for number in range(data.draw(st.integers(1, 3)))]
    for pod in pods:
        await pod.create(namespace, {"example": example})
    try:
        for pod in pods:
            await check_description(tool_client, namespace, pod)
        await check_service(tool_client, namespace, example, pods)
        await check_table(tool_client, namespace, example, pods)
        await check_yaml(tool_client, namespace, pods[0])
    finally:
        await delete_pods(namespace, f"example={example}")


@given(data=st.data())
@FEW_EXAMPLES
async def test_rollout_status_tells_everything_about_its_pods(
    tool_client: ToolClient, namespace: KubeNamespace, data: st.DataObject
) -> None:
    example = f"y{next(_numbers)}"
    spec = data.draw(pod_specs())
    body = deployment_manifest(example, data.draw(st.integers(1, 3)))
    body["spec"]["template"]["spec"] = spec  # type: ignore[index,call-overload]
    await namespace.create("deployments", body)

    async def read_pods() -> list[KubeObject]:
        return [pod for pod in await namespace.list_objects("pods") if pod.labels["app"] == example]

    async def are_created() -> bool:
        return len(await read_pods()) == dig(body, "spec", "replicas")

    await eventually(are_created)
    found = [(data.draw(truths(f"{example}-{number}", spec)), pod) for number, pod in enumerate(await read_pods())]
    for truth, pod in found:
        await truth.apply_to(namespace, pod)
    status = await tool_client.read("k8s_rollout_status", name=example, namespace=namespace.name)
    lines = {line.split()[0]: line for line in status.text.splitlines() if line.startswith("pod/")}
    for truth, pod in found:
        assert f"pod/{pod.name}" in lines or not truth.facts
        assert untold(lines.get(f"pod/{pod.name}", ""), truth.facts) == []
    await namespace.delete("deployments", example)


async def check_description(tool_client: ToolClient, namespace: KubeNamespace, pod: Truth) -> None:
    described = await tool_client.read("k8s_describe", kind="pod", name=pod.name, namespace=namespace.name)
    before_object = described.text.partition("\nObject:\n")[0]
    assert [fact for fact in pod.facts if fact not in before_object] == []


async def check_service(tool_client: ToolClient, namespace: KubeNamespace, example: str, pods: list[Truth]) -> None:
    """Describe a Service of these pods: every line about a pod holds its facts."""
    await namespace.create(
        "services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": example},
            "spec": {"selector": {"example": example}, "ports": [{"port": 80}]},
        },
    )
    described = await tool_client.read("k8s_describe", kind="svc", name=example, namespace=namespace.name)
    lines = {line.split()[0]: line for line in described.text.splitlines() if line.startswith("  pod/")}
    for pod in pods:
        assert untold(lines.get(f"pod/{pod.name}", ""), pod.facts) == []


async def check_table(tool_client: ToolClient, namespace: KubeNamespace, example: str, pods: list[Truth]) -> None:
    """List these pods: every row holds what its columns lack, or says that something is left out."""
    listed = await tool_client.read(
        "k8s_get", kind="pods", namespace=namespace.name, label_selector=f"example={example}"
    )
    rows = {row[0]: "  ".join(row) for row in listed.data["rows"]}
    for pod in pods:
        facts = [fact for fact in pod.facts if not fact.endswith(" restarts")]  # the table has a column for these
        assert untold(rows[pod.name], facts) == []
        assert rows[pod.name].replace("  ", " ") in " ".join(listed.text.split())


async def check_yaml(tool_client: ToolClient, namespace: KubeNamespace, pod: Truth) -> None:
    shown = await tool_client.read("k8s_get", kind="pod", name=pod.name, namespace=namespace.name, output="yaml")
    assert shown.text.startswith(f"# pod/{pod.name} ")
    assert untold(shown.text.splitlines()[0], pod.facts) == []
    assert [fact for fact in pod.facts if fact not in shown.text and not _LEFT_OUT.search(shown.text)] == []
