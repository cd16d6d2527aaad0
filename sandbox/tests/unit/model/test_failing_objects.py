"""Failing objects of the usual kinds: each is explained or at least named, and never called well."""

import pytest
import yaml
from recorded_tools import RecordedTools, open_recorded_conversation

from skyflo_common.jsontypes import JsonObject

PODS = "NAME  READY  STATUS  RESTARTS  AGE"
DEPLOYMENTS = "NAME  READY  UP-TO-DATE  AVAILABLE  AGE  CONTAINERS  IMAGES  SELECTOR"
SERVICES = "NAME  TYPE  CLUSTER-IP  EXTERNAL-IP  PORT(S)  AGE  SELECTOR"
SLICES = "NAME  ADDRESSTYPE  PORTS  ENDPOINTS  AGE"
EVENT = "2026-11-22T17:40:00 Warning {reason} trouble/{about}: {message}"


def table(header: str, *rows: str) -> str:
    """Align rows into a table. Cells are separated by two spaces."""
    split = [line.split("  ") for line in (header, *rows)]
    widths = [max(len(line[place]) for line in split) for place in range(len(split[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in split)


def description(body: JsonObject, *, conditions: tuple[str, ...] = (), events: tuple[str, ...] = ()) -> str:
    """Write an object as k8s_describe prints it."""
    metadata = body["metadata"]
    assert isinstance(metadata, dict)
    lines = [f"{body['kind']} {metadata['name']} in namespace trouble"]
    lines += ["Conditions:", *(f"  {each} (since 2026-11-22T17:31:05Z)" for each in conditions)] if conditions else []
    lines += ["Events (newest first):", *(f"  {each}" for each in events)] if events else []
    return "\n".join([*lines, "Object:", yaml.safe_dump(body, sort_keys=False)])


def named(kind: str, name: str, **parts: JsonObject) -> JsonObject:
    return {"kind": kind, "metadata": {"name": name, "namespace": "trouble"}, **parts}


def cluster(**texts: str) -> RecordedTools:
    """Build tools for a namespace with empty lists. The key `get__pods` replaces the output of `get pods`."""
    empty = {
        f"get {kind}": f"No {kind} in namespace trouble."
        for kind in (
            "pods", "deployments", "services", "endpointslices", "statefulsets", "daemonsets", "replicasets", "jobs",
            "cronjobs", "persistentvolumeclaims", "configmaps", "ingresses yaml", "horizontalpodautoscalers yaml",
        )
    }  # fmt: skip
    nodes = table("NAME  STATUS  ROLES  AGE  VERSION", "node-1  Ready  <none>  9d  v1.34.0")
    others = {"get nodes -A": nodes, "events": "No events in namespace trouble.", "get namespaces -A": "NAME\ntrouble"}
    return RecordedTools({**empty, **others, **{key.replace("__", " "): text for key, text in texts.items()}})


def with_pod(name: str, status: str, pod: str, deployment: str = "", **texts: str) -> RecordedTools:
    """Build tools for a namespace with one deployment whose only pod is not ready."""
    owner = deployment or description(named("Deployment", name, spec={"replicas": 1}))
    found = {
        "get pods": table(PODS, f"{name}-7dd7dccc78-k278n  0/1  {status}  0  5m"),
        "get deployments": table(DEPLOYMENTS, f"{name}  0/1  1  0  5m  app  app:1  app={name}"),
        f"describe deployments {name}": owner,
        f"describe pods {name}-7dd7dccc78-k278n": pod,
    }
    return cluster(**{key.replace(" ", "__"): text for key, text in (found | texts).items()})


async def answer_to(question: str, tools: RecordedTools) -> str:
    async with open_recorded_conversation(tools) as conversation:
        asked = await conversation.ask(question)
    assert asked.changes == []
    return asked.answer


def pod_of(name: str, **parts: JsonObject) -> JsonObject:
    return named("Pod", f"{name}-7dd7dccc78-k278n", **parts)


async def test_missing_secret_of_a_volume_is_named() -> None:
    status: JsonObject = {"phase": "Pending", "containerStatuses": [{"name": "app", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}]}  # fmt: skip # noqa: E501
    about = "pod/nosecretvol-7dd7dccc78-k278n"
    event = EVENT.format(reason="FailedMount", about=about, message='MountVolume.SetUp failed: secret "tls" not found')
    tools = with_pod("nosecretvol", "ContainerCreating", description(pod_of("nosecretvol", status=status), events=(event,)))  # fmt: skip # noqa: E501
    answer = await answer_to("why is nosecretvol not starting in trouble?", tools)
    assert "it mounts the secret `tls`, which does not exist" in answer
    assert "FailedMount" in answer


async def test_init_container_that_never_ends_is_named() -> None:
    spec: JsonObject = {"initContainers": [{"name": "wait", "image": "app:1", "command": ["sh", "-c", "sleep 9d"]}]}
    status: JsonObject = {"initContainerStatuses": [{"name": "wait", "ready": False, "state": {"running": {"startedAt": "2026-11-22T17:31:05Z"}}}]}  # fmt: skip # noqa: E501
    tools = with_pod("initstuck", "Init:0/1", description(pod_of("initstuck", spec=spec, status=status)))
    answer = await answer_to("why is initstuck in trouble pending?", tools)
    assert "Init container `wait` has not finished" in answer
    assert "sleep 9d" in answer


async def test_unbound_volume_claim_of_a_pending_pod_is_named() -> None:
    spec: JsonObject = {"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]}
    message = "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims."
    status: JsonObject = {
        "conditions": [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}]
    }
    claim = description(named("PersistentVolumeClaim", "data", spec={"storageClassName": "fast"}, status={"phase": "Pending"}))  # fmt: skip # noqa: E501
    pod = description(pod_of("pvcpending", spec=spec, status=status))
    tools = with_pod("pvcpending", "Pending", pod, **{"describe persistentvolumeclaims data": claim})
    answer = await answer_to("why is pvcpending in trouble pending?", tools)
    assert "The pod waits for its volume claim `data`, which is Pending" in answer
    assert "`fast`" in answer


async def test_autoscaler_without_metrics_is_explained() -> None:
    condition = "ScalingActive=False FailedGetResourceMetric the server could not find the requested resource"
    tools = cluster(
        **{
            "get__horizontalpodautoscalers__metadata.name=chatty": table("NAME  REFERENCE", "chatty  Deployment/web"),
            "describe__horizontalpodautoscalers__chatty": description(
                named("HorizontalPodAutoscaler", "chatty"), conditions=("AbleToScale=True x", condition)
            ),
        }
    )
    answer = await answer_to("why is the hpa chatty in trouble not scaling?", tools)
    assert "The horizontalpodautoscaler `chatty` in `trouble` can't scale its target" in answer
    assert "FailedGetResourceMetric" in answer


async def test_failed_job_is_explained_by_its_pod() -> None:
    state: JsonObject = {"terminated": {"exitCode": 3, "reason": "Error"}}
    status: JsonObject = {"phase": "Failed", "containerStatuses": [{"name": "app", "ready": False, "state": state}]}
    job = named("Job", "migrate", spec={"backoffLimit": 0})
    tools = cluster(
        **{
            "get__jobs__metadata.name=migrate": table("NAME  STATUS  COMPLETIONS", "migrate  Failed  0/1"),
            "get__pods": table(PODS, "migrate-x7k2p  0/1  Error  0  5m"),
            "describe__jobs__migrate": description(job, conditions=("Failed=True BackoffLimitExceeded",)),
            "describe__pods__migrate-x7k2p": description(named("Pod", "migrate-x7k2p", status=status)),
            "logs__migrate-x7k2p": "== migrate-x7k2p app\nFATAL no such table: orders",
        }
    )
    answer = await answer_to("why did job migrate in trouble fail?", tools)
    assert "exit code 3" in answer
    assert "no such table: orders" in answer


async def test_ingress_names_its_service_without_ready_endpoints() -> None:
    backend: JsonObject = {"service": {"name": "front", "port": {"number": 80}}}
    ingress = named("Ingress", "front", spec={"rules": [{"http": {"paths": [{"path": "/", "backend": backend}]}}]})
    tools = cluster(
        **{
            "get__ingresses__metadata.name=front": table("NAME  CLASS  HOSTS", "front  nginx  *"),
            "describe__ingresses__front": description(ingress),
            "describe__services__front": description(named("Service", "front", spec={"selector": {"app": "front"}})),
            "get__endpointslices__kubernetes.io/service-name=front": "No endpointslices in namespace trouble.",
        }
    )
    answer = await answer_to("why is the ingress front in trouble returning 503?", tools)
    assert "sends requests to service `front`, which has no ready endpoints" in answer


async def test_unknown_sign_of_trouble_is_shown_without_a_rule() -> None:
    pod = pod_of("odd", status={"phase": "Running"})
    about = "pod/odd-7dd7dccc78-k278n"
    event = EVENT.format(reason="DeviceGone", about=about, message="the device has gone")
    tools = with_pod("odd", "Running", description(pod, conditions=("example.com/Gate=False Closed",), events=(event,)))
    answer = await answer_to("why is odd failing in trouble?", tools)
    assert "I have no rule for this; here is what I saw:" in answer
    assert answer.index("DeviceGone") < answer.index("example.com/Gate=False")
    assert "Nothing is wrong" not in answer


async def test_object_of_an_unusual_kind_with_a_false_condition_is_not_called_well() -> None:
    tools = cluster(
        **{
            "get__persistentvolumeclaims__metadata.name=data": table("NAME  STATUS", "data  Bound"),
            "describe__persistentvolumeclaims__data": description(
                named("PersistentVolumeClaim", "data", status={"phase": "Bound"}), conditions=("Ready=False Broken",)
            ),
        }
    )
    answer = await answer_to("why is pvc data in trouble broken?", tools)
    assert "I have no rule for this" in answer
    assert "Ready=False Broken" in answer


NODES = "NAME  STATUS  ROLES  AGE  VERSION"
OVERVIEW: dict[str, tuple[dict[str, str], str]] = {
    "stateful set": ({"get statefulsets": table("NAME  READY  AGE", "db  1/2  5m")}, "statefulset `db`"),
    "daemon set": (
        {"get daemonsets": table("NAME  DESIRED  CURRENT  READY  AGE", "agent  3  3  2  5m")},
        "2 of 3 pods ready",
    ),
    "quota": (
        {"get replicasets": table("NAME  DESIRED  CURRENT  READY  AGE", "big-5f5b75dd86  3  1  1  5m")},
        "1 of 3 pods created",
    ),
    "failed job of a cron job": (
        {
            "get jobs": table("NAME  STATUS  COMPLETIONS  DURATION  AGE", "nightly-29380320  Failed  0/1  5m  5m"),
            "get cronjobs": table("NAME  SCHEDULE  SUSPEND", "nightly  0 0 * * *  False"),
        },
        "of cronjob `nightly`: failed",
    ),
    "unbound claim": (
        {"get persistentvolumeclaims": table("NAME  STATUS", "data  Pending")},
        "persistentvolumeclaim `data`",
    ),
    "node": ({"get nodes -A": table(NODES, "node-1  NotReady  <none>  9d  v1.34.0")}, "node `node-1`: NotReady"),
    "service": (
        {"get services": table(SERVICES, "front  ClusterIP  10.96.3.18  <none>  80/TCP  8d  app=front")},
        "service `front` in `trouble`: no endpoints",
    ),
    "ingress": (
        {
            "get ingresses yaml": yaml.safe_dump(
                named("Ingress", "web", spec={"defaultBackend": {"service": {"name": "gone"}}})
            )
        },
        "its backend service gone does not exist",
    ),
    "autoscaler": (
        {
            "get horizontalpodautoscalers yaml": yaml.safe_dump(
                named(
                    "HorizontalPodAutoscaler",
                    "chatty",
                    status={"conditions": [{"type": "ScalingActive", "status": "False", "reason": "NoMetrics"}]},
                )
            )
        },
        "can't scale: NoMetrics",
    ),
    "init container": (
        {"get pods": table(PODS, "lone  0/1  Init:CrashLoopBackOff  3 (9m ago)  5m")},
        "Init:CrashLoopBackOff",
    ),
    "past out-of-memory kill": (
        {
            "get pods": table(PODS, "lone  1/1  Running  3 (9m ago)  5h"),
            "get pods lone yaml": yaml.safe_dump(
                named(
                    "Pod",
                    "lone",
                    status={"containerStatuses": [{"lastState": {"terminated": {"reason": "OOMKilled"}}}]},
                )
            ),
        },
        "its last run was OOMKilled",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", OVERVIEW)
async def test_overview_names_each_failing_object(case: str) -> None:
    texts, expected = OVERVIEW[case]
    tools = cluster().with_outputs(texts)
    answer = await answer_to("what is wrong in trouble?", tools)
    assert "**1 problem** in namespace `trouble`" in answer
    assert expected in answer


async def test_overview_without_problems_names_the_kinds_it_read() -> None:
    tools = cluster(get__pods=table(PODS, "lone  1/1  Running  0  5h"))
    answer = await answer_to("what is wrong in trouble?", tools)
    assert "Nothing is wrong" in answer
    for kind in ("1 pod", "0 statefulsets", "0 jobs", "0 volume claims", "1 node", "0 ingresses", "0 autoscalers"):
        assert kind in answer


async def test_overview_names_kinds_that_it_could_not_read() -> None:
    tools = cluster(get__pods=table(PODS, "lone  1/1  Running  0  5h"))
    tools = tools.with_outputs({"get nodes -A": "! nodes is forbidden [forbidden, effect: none]"})
    answer = await answer_to("what is wrong in trouble?", tools)
    assert "Not looked at:" in answer
    assert "nodes is forbidden" in answer


async def test_warning_event_alone_is_not_called_well() -> None:
    event = EVENT.format(reason="Unhealthy", about="pod/lone", message="Readiness probe failed")
    tools = cluster(get__pods=table(PODS, "lone  1/1  Running  0  5h"), events=event)
    answer = await answer_to("what is wrong in trouble?", tools)
    assert "Nothing is wrong" not in answer
    assert "Readiness probe failed" in answer
