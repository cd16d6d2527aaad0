"""The ReplicaSet controller."""

import pytest
from controller_harness import deployment, running_controllers

from skyflo_common.jsontypes import JsonObject, object_at, text_at
from skyflo_sandbox.cluster.kinds import (
    DEPLOYMENT,
    REPLICA_SET,
)


@pytest.mark.parametrize(
    "annotations",
    [
        {"deployment.kubernetes.io/revision": "²"},
        {"deployment.kubernetes.io/revision": "9" * 5_000},
        {"deployment.kubernetes.io/max-replicas": "0", "deployment.kubernetes.io/desired-replicas": "-1"},
    ],
)
async def test_invalid_annotations_do_not_break_controllers(annotations: JsonObject) -> None:
    async with running_controllers() as harness:
        harness.create(DEPLOYMENT, deployment())
        await harness.clock.advance(5)
        name = text_at(harness.all(REPLICA_SET)[0], "metadata", "name")
        harness.update(
            REPLICA_SET,
            name,
            lambda body: {**body, "metadata": {**object_at(body, "metadata"), "annotations": annotations}},
        )
        harness.update(DEPLOYMENT, "web", lambda body: {**body, "spec": {**object_at(body, "spec"), "replicas": 6}})
        await harness.clock.advance(10)
        assert harness.status_counts("web")["availableReplicas"] == 6


async def test_pod_limit_is_enforced_and_reported() -> None:
    async with running_controllers() as harness:
        body = deployment(replicas=100_000)
        object_at(body, "spec", "template", "spec")["nodeSelector"] = {"disk": "none-such"}
        harness.create(DEPLOYMENT, body)
        await harness.clock.advance(1)
        assert len(harness.pods()) == 350
        [(type_, text, _)] = harness.recorded_events("FailedCreate")[:1]
        assert type_ == "Warning"
        assert "exceeded quota: sandbox, requested: pods=1, used: pods=350, limited: pods=350" in text
