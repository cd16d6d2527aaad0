"""k8s_logs: what containers wrote, of one pod or of all that a selector matches."""

from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.concurrency import together
from skyflo_tools.errors import BadArguments, ToolFailure
from skyflo_tools.jsontypes import objects_at, text_at
from skyflo_tools.kubernetes.client import Request
from skyflo_tools.kubernetes.locate import Place, fetch, place
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES
from skyflo_tools.tool import Call, ClusterArguments, Description, Namespace, Output, Read
from skyflo_tools.tools.get import Selector

PODS_AT_MOST = 10
BYTES_PER_CONTAINER = 1024 * 1024
LINE_CHARACTERS = 2000
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"


class LogsArguments(ClusterArguments):
    pod: Annotated[str, Field(default="", max_length=253, description="Pod to read. Give this or label_selector.")]
    label_selector: Annotated[Selector, Field(default="", description="Read all pods that match, up to ten.")]
    namespace: Namespace
    container: Annotated[str, Field(default="", max_length=63, description="Container. Default: the pod's main one.")]
    all_containers: Annotated[bool, Field(default=False, description="Every container of the pod.")]
    previous: Annotated[bool, Field(default=False, description="The run before the last restart.")]
    since_seconds: Annotated[
        int | None, Field(default=None, ge=1, le=7 * 86400, description="Only the last so many seconds.")
    ]
    tail: Annotated[int, Field(default=100, ge=1, le=5000, description="Last lines of each container.")]
    grep: Annotated[
        str, Field(default="", max_length=200, description="Keep only lines that contain this text, in any case.")
    ]
    timestamps: Annotated[bool, Field(default=False, description="Begin each line with its time.")]


class ContainerLog(BaseModel):
    pod: str
    container: str
    lines: list[str]
    left_out: int
    problem: str


class LogsResult(BaseModel):
    logs: list[ContainerLog]
    pods_left_out: int


async def logs(arguments: LogsArguments, call: Call) -> Output:
    if bool(arguments.pod) == bool(arguments.label_selector):
        raise BadArguments("give either pod or label_selector")
    cluster = call.services.clusters.choose(arguments.cluster)
    where = await place(cluster, "v1/Pod", arguments.namespace)
    pods, left_out = await _pods(arguments, where, call)
    wanted = [(pod, name) for pod in pods for name in _containers(arguments, pod)]
    budget = TEXT_BYTES // max(1, len(wanted))
    found = await together(_read(arguments, where, pod, name, budget, call) for pod, name in wanted)
    if not found:
        return Output(f"No pods match in namespace {where.namespace}.", LogsResult(logs=[], pods_left_out=0))
    text = "\n".join(_text(log) for log in found)
    text += f"\n… {left_out} more pods, narrow with label_selector" if left_out else ""
    return Output(text, LogsResult(logs=found, pods_left_out=left_out))


async def _pods(arguments: LogsArguments, where: Place, call: Call) -> tuple[list[KubeObject], int]:
    if arguments.pod:
        return [await fetch(where, arguments.pod, call.identity)], 0
    path = where.resource.collection(where.namespace)
    params = {"labelSelector": arguments.label_selector, "limit": "200"}
    answer = await where.cluster.client.get(path, call.identity, **params)
    pods = [KubeObject(item) for item in objects_at(answer, "items")]
    return pods[:PODS_AT_MOST], max(0, len(pods) - PODS_AT_MOST)


def _containers(arguments: LogsArguments, pod: KubeObject) -> list[str]:
    fields = ("initContainers", "containers", "ephemeralContainers")
    names = {field: [text_at(each, "name") for each in objects_at(pod.body, "spec", field)] for field in fields}
    everything = [name for field in fields for name in names[field]]
    if arguments.all_containers:
        return everything
    if arguments.container:
        if arguments.container not in everything:
            known = ", ".join(everything)
            raise BadArguments(f"{pod} has no container {arguments.container!r}", hint=f"its containers: {known}")
        return [arguments.container]
    main = pod.annotations.get(DEFAULT_CONTAINER, "")
    return [main if main in everything else names["containers"][0]]


async def _read(
    arguments: LogsArguments, where: Place, pod: KubeObject, container: str, budget: int, call: Call
) -> ContainerLog:
    params = {"container": container, "tailLines": str(arguments.tail), "limitBytes": str(BYTES_PER_CONTAINER)}
    params |= {"previous": "true"} if arguments.previous else {}
    params |= {"timestamps": "true"} if arguments.timestamps else {}
    params |= {"sinceSeconds": str(arguments.since_seconds)} if arguments.since_seconds else {}
    request = Request("GET", where.resource.item(where.namespace, pod.name, "log"), params, accept="*/*")
    try:
        text = (await where.cluster.client.send(request, call.identity)).text()
    except ToolFailure as error:
        return ContainerLog(pod=pod.name, container=container, lines=[], left_out=0, problem=error.message)
    lines = [line[:LINE_CHARACTERS] for line in text.splitlines()]
    if arguments.grep:
        lines = [line for line in lines if arguments.grep.lower() in line.lower()]
    kept = _last(lines, budget)
    return ContainerLog(pod=pod.name, container=container, lines=kept, left_out=len(lines) - len(kept), problem="")


def _last(lines: list[str], budget: int) -> list[str]:
    """The last lines that fit: in a log the end matters most."""
    size = 0
    for count, line in enumerate(reversed(lines)):
        size += len(line.encode()) + 1
        if size > budget:
            return lines[len(lines) - count :]
    return lines


def _text(log: ContainerLog) -> str:
    title = f"== {log.pod} {log.container}"
    if log.problem:
        return f"{title}: {log.problem}"
    if not log.lines:
        return f"{title}: no lines"
    left_out = [f"… {log.left_out} earlier lines, narrow with tail, since_seconds or grep"] if log.left_out else []
    return "\n".join([title, *left_out, *log.lines])


LOGS = Read(
    Description(
        "k8s_logs",
        "Logs",
        "What containers wrote: one pod or several by selector; the run before a restart with `previous`.",
    ),
    LogsArguments,
    logs,
)
