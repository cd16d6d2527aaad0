"""Requests and limits of pods are summed up as the scheduler does."""

from fractions import Fraction

import pytest

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_tools.kubernetes.pod_resources import parse_pod_resources
from skyflo_tools.kubernetes.quantities import format_cpu, format_memory, parse_quantity


@pytest.mark.parametrize(
    ("text", "value"),
    [("100m", Fraction(1, 10)), ("1.5", Fraction(3, 2)), ("318000000n", Fraction(318, 1000)), ("61766Ki", 61766 * 1024),
     ("2e3", 2000), ("1E", 10**18), (".5", Fraction(1, 2)), (2, 2), (0.5, Fraction(1, 2)), ("", None), ("x", None),
     ("1KiB", None), (True, None), (None, None), ("1" * 40, None)],
)  # fmt: skip
def test_quantities_are_read_exactly(text: JsonValue, value: Fraction | None) -> None:
    assert parse_quantity(text) == value


def test_amounts_are_shown_as_kubectl_top_does() -> None:
    assert format_cpu(Fraction(1, 3000)) == "1m"
    assert format_memory(Fraction(61766 * 1024)) == "61Mi"
    assert (format_cpu(None), format_memory(None)) == ("", "")


def container(name: str, cpu: str = "", limit: str = "", **more: JsonValue) -> JsonObject:
    resources: JsonObject = {"requests": {"cpu": cpu} if cpu else {}, "limits": {"cpu": limit} if limit else {}}
    return {"name": name, "resources": resources, **more}


def test_init_containers_and_overhead_count_for_the_scheduler_only() -> None:
    sidecar = container("proxy", "100m", restartPolicy="Always")
    spec: JsonObject = {
        "initContainers": [container("early", "2"), sidecar, container("late", "1950m")],
        "containers": [container("app", "500m", "1"), container("helper")],
        "overhead": {"cpu": "50m"},
    }
    pod = parse_pod_resources({"metadata": {"name": "web"}, "spec": spec})
    assert [each.name for each in pod.containers] == ["app", "helper", "proxy"]
    assert pod.requests == {"cpu": Fraction(6, 10)}
    assert pod.limits == {}  # not every container has one
    assert pod.scheduled_requests == {"cpu": Fraction(21, 10)}
    assert pod.scheduled_limits == {"cpu": Fraction(105, 100)}


def test_resources_of_the_pod_stand_above_those_of_its_containers() -> None:
    spec: JsonObject = {"resources": {"limits": {"cpu": "3"}}, "containers": [container("app", "1"), container("b")]}
    pod = parse_pod_resources({"spec": spec})
    assert (pod.requests, pod.limits) == ({"cpu": 1}, {"cpu": 3})
    assert pod.scheduled_limits == {"cpu": 3}
