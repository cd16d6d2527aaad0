"""Test the two documented commands: a question, and a change that a person approves."""

import json
import shutil
import subprocess

import pytest

from tests.support.kubectl import Object
from tests.support.product import Product, tool_call
from tests.support.waiting import PATIENCE

curl = shutil.which("curl")

ASK = """\
curl -N -H "Content-Type: application/json" \\
  -X POST \\
  -d '{"messages":[{"role":"user","content":"List pods in default"}]}' \\
  http://localhost:8080/api/v1/agent/chat
"""
DECIDE = """\
curl -N -H "Content-Type: application/json" \\
  -X POST \\
  -d '{"approve":true, "reason":"safe", "conversation_id":"<conversation-uuid>"}' \\
  http://localhost:8080/api/v1/agent/approvals/<call_id>
"""


def typed(command: str, product: Product, **filled: str) -> list[Object]:
    """Run a documented command with its port and placeholders filled in; return the printed events."""
    port = product.engine.address.rpartition(":")[2]
    for name, value in {"localhost:8080": f"localhost:{port}", **filled}.items():
        command = command.replace(name, value)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, timeout=PATIENCE)
    return [json.loads(line.removeprefix("data: ")) for line in done.stdout.splitlines() if line.startswith("data: ")]


def first(events: list[Object], kind: str) -> Object:
    found = [event for event in events if event["type"] == kind]
    assert found, events
    return found[0]


def text(events: list[Object]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "token")


@pytest.mark.skipif(curl is None, reason="no curl")
def test_pods_are_listed_by_the_documented_command(product: Product) -> None:
    product.kubectl("run", "seen", "--image=registry.example/app:1", "--namespace=default")
    try:
        product.set_script(tool_call("k8s_get", kind="pods", namespace="default"), "There is one pod.")
        events = typed(ASK, product)
    finally:
        product.kubectl("delete", "pod", "seen", "--namespace=default", "--wait=false")
    assert events[0]["type"] == "ready"
    assert "seen" in json.dumps(first(events, "tool.result")["result"])
    assert text(events) == "There is one pod."
    assert events[-1]["type"] == "workflow_complete"
    assert events[-1]["status"] == "completed"


@pytest.mark.skipif(curl is None, reason="no curl")
@pytest.mark.promise("bound", "once")
def test_deployment_is_scaled_after_approval_and_verified(product: Product) -> None:
    kubectl = product.kubectl
    before = kubectl.create_deployment("web", replicas=2)
    product.set_script(
        tool_call("k8s_scale", kind="deployment", name="web", namespace=kubectl.namespace, replicas=4),
        tool_call("k8s_get", kind="deployment", name="web", namespace=kubectl.namespace, output="yaml"),
        "It has four replicas now.",
    )
    asked = typed(ASK.replace("List pods in default", "Scale web to four"), product)
    shown = first(asked, "tool.awaiting_approval")
    assert asked[-1]["status"] == "awaiting_approval"
    assert changes(shown["preview"]["diff"]) == {"-  replicas: 2", "+  replicas: 4"}
    assert kubectl.get("deployment", "web")["spec"] == before["spec"]

    decided = typed(
        DECIDE, product, **{"<conversation-uuid>": asked[0]["conversation_id"], "<call_id>": shown["call_id"]}
    )

    assert [event["type"] for event in decided if event["type"].startswith("tool.")] == [
        "tool.approved",
        "tool.executing",
        "tool.result",
        "tool.executing",
        "tool.result",
    ]
    assert "replicas: 4" in json.dumps([event["result"] for event in decided if event["type"] == "tool.result"][-1])
    assert text(decided) == "It has four replicas now."
    after = kubectl.get("deployment", "web")
    assert after["spec"] == {**before["spec"], "replicas": 4}
    assert after["metadata"]["generation"] == before["metadata"]["generation"] + 1
    assert sum("skyflo" in entry["manager"] for entry in after["metadata"]["managedFields"]) == 1


def changes(diff: str) -> set[str]:
    return {line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")}
