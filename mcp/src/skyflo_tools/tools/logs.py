"""The tool k8s_logs: read container logs of one pod, or of all pods that match a selector."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import JsonObject, objects_at, text_at
from skyflo_tools.concurrency import gather
from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest
from skyflo_tools.kubernetes.listing import ListReader
from skyflo_tools.kubernetes.log_reader import (
    Alternatives,
    LogLine,
    LogQuery,
    LogRead,
    parse_alternatives,
    read_log,
)
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, require_namespace, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES
from skyflo_tools.kubernetes.shrinking import fair_share
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.get import Selector

MAX_PODS = 10
MAX_CONTAINERS = 40
MAX_PODS_LISTED = 5000
MAX_NAMES = 20
READ_BYTES = 64 * 1024 * 1024
"""What one call reads, shared by its containers."""
LINE_CHARACTERS = 2000
MIN_SHARE = 200
RESTART_READS = 8
RESTART_SECONDS = 1.0
MARK_BYTES = 70
"""The most that the marks of a cut line take."""
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_CONTAINER_FIELDS = ("initContainers", "containers", "ephemeralContainers")


class LogsArguments(ClusterArguments):
    pod: Annotated[str, Field(default="", max_length=253, description="Pod to read. Give this or label_selector.")]
    label_selector: Annotated[Selector, Field(default="", description="Read all pods that match, up to ten.")]
    namespace: Namespace
    container: Annotated[str, Field(default="", max_length=63, description="Container. Default: the pod's main one.")]
    all_containers: Annotated[bool, Field(default=False, description="Every container of the pod.")]
    previous: Annotated[bool, Field(default=False, description="Logs of the container before its last restart.")]
    since_seconds: Annotated[
        int | None, Field(default=None, ge=1, le=7 * 86400, description="Only lines of the last so many seconds.")
    ]
    grep: Annotated[
        str,
        Field(
            default="",
            max_length=200,
            description="Keep only lines that contain this text, or one of `error|fatal`. No regular expression."
            " Ignores case. Searches the whole log or time range.",
        ),
    ]
    tail: Annotated[
        int, Field(default=100, ge=1, le=5000, description="How many lines of each container: the last ones.")
    ]
    from_start: Annotated[
        bool, Field(default=False, description="The first lines of the log or time range instead of the last.")
    ]
    line_characters: Annotated[
        int, Field(default=LINE_CHARACTERS, ge=50, le=15_000, description="Longer lines are cut, and marked.")
    ]
    timestamps: Annotated[bool, Field(default=False, description="Begin each line with its time.")]

    @property
    def alternatives(self) -> Alternatives:
        return parse_alternatives(self.grep)


class ContainerLog(BaseModel):
    pod: str
    container: str
    lines: list[str]
    left_out: int
    """Lines that were read and match, but are not shown."""
    problem: str
    read: int = 0
    complete: bool = False
    """Whether all lines of the log or time range were read."""
    notes: list[str] = []


class LogsResult(BaseModel):
    logs: list[ContainerLog]
    pods_left_out: int
    left_out: list[str] = []
    """Names of pods and containers that were not read."""


@dataclass(frozen=True)
class PodSelection:
    """The containers to read, and the pods that match beyond the limit."""

    containers: list[tuple[KubeObject, str]]
    left_out: list[str]
    is_complete: bool = True

    def describe_left_out(self) -> str:
        if not self.left_out:
            return ""
        named = ", ".join(self.left_out[:MAX_NAMES]) + (", …" if len(self.left_out) > MAX_NAMES else "")
        count = f"{len(self.left_out)} more" if self.is_complete else f"more than {len(self.left_out)} more"
        return f"\n… not read, {count}: {named}; read one with pod, or narrow label_selector"


async def logs(arguments: LogsArguments, call: CallContext) -> ToolOutput[LogsResult]:
    if bool(arguments.pod) == bool(arguments.label_selector):
        raise InvalidArguments("give either pod or label_selector")
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_scope(cluster, "v1/Pod", arguments.namespace)
    selection = await _select_containers(arguments, scope, call)
    if not selection.containers:
        note = await require_namespace(scope, call.identity)
        text = f"No pods match {arguments.label_selector!r} in namespace {scope.namespace}{note}."
        return ToolOutput(text, LogsResult(logs=[], pods_left_out=0))
    max_bytes = READ_BYTES // len(selection.containers)
    found = await gather(
        _read_container(arguments, scope, pod, name, max_bytes, call) for pod, name in selection.containers
    )
    shown = _share_space(found, arguments)
    text = "\n".join(_render_log(log, arguments) for log in shown) + selection.describe_left_out()
    left_out = selection.left_out
    return ToolOutput(text, LogsResult(logs=shown, pods_left_out=len(left_out), left_out=left_out[:MAX_NAMES]))


async def _select_containers(arguments: LogsArguments, scope: ResourceScope, call: CallContext) -> PodSelection:
    if arguments.pod:
        pods, is_complete = [await fetch(scope, arguments.pod, call.identity)], True
    else:
        reader = ListReader(call.identity, call.services.clock, MAX_PODS_LISTED)
        listing = await reader.read(scope, _keep_names, labels=arguments.label_selector)
        pods, is_complete = listing.items, not listing.unread
    wanted = [(pod, name) for pod in pods[:MAX_PODS] for name in _container_names(arguments, pod)]
    left_out = [f"{pod.name} {name}" for pod, name in wanted[MAX_CONTAINERS:]] + [pod.name for pod in pods[MAX_PODS:]]
    return PodSelection(wanted[:MAX_CONTAINERS], left_out, is_complete)


def _keep_names(body: JsonObject) -> KubeObject:
    """Keep what chooses containers, so that a list of thousands of pods stays small in memory."""
    main: JsonObject = {DEFAULT_CONTAINER: text_at(body, "metadata", "annotations", DEFAULT_CONTAINER)}
    spec: JsonObject = {
        field: [{"name": text_at(each, "name")} for each in objects_at(body, "spec", field)]
        for field in _CONTAINER_FIELDS
    }
    return KubeObject({"metadata": {"name": text_at(body, "metadata", "name"), "annotations": main}, "spec": spec})


def _container_names(arguments: LogsArguments, pod: KubeObject) -> list[str]:
    spec = pod.at("spec")
    names = {field: [text_at(each, "name") for each in objects_at(spec, field)] for field in _CONTAINER_FIELDS}
    all_names = [name for field in _CONTAINER_FIELDS for name in names[field]]
    if arguments.all_containers:
        return all_names
    if arguments.container:
        if arguments.pod and arguments.container not in all_names:
            known = ", ".join(all_names)
            raise InvalidArguments(f"{pod} has no container {arguments.container!r}", hint=f"its containers: {known}")
        return [arguments.container]
    main = pod.annotations.get(DEFAULT_CONTAINER, "")
    return [main if main in all_names else names["containers"][0]]


@dataclass(frozen=True)
class _Found:
    """A container's log before the output's space is shared."""

    pod: str
    container: str
    read: LogRead
    problem: str = ""

    def size(self, width: int, grep: Alternatives) -> int:
        return sum(len(str(line.cut(width, grep)).encode()) + 1 for line in self.read.lines)


async def _read_container(
    arguments: LogsArguments, scope: ResourceScope, pod: KubeObject, container: str, max_bytes: int, call: CallContext
) -> _Found:
    params = {"container": container}
    params |= {"previous": "true"} if arguments.previous else {}
    params |= {"timestamps": "true"} if arguments.timestamps else {}
    params |= {"sinceSeconds": str(arguments.since_seconds)} if arguments.since_seconds else {}
    path = scope.resource.object_path(scope.namespace, pod.name, "log")
    query = LogQuery(arguments.tail, arguments.alternatives, arguments.from_start, max_bytes)
    try:
        request = ApiRequest("GET", path, params, accept="*/*")
        read = await read_log(scope.cluster.client, request, query, call.identity)
        for _ in range(RESTART_READS):
            if not read.kubelet_problem:
                break
            await asyncio.sleep(RESTART_SECONDS)  # a container that restarts has no log between two of its lives
            read = await read_log(scope.cluster.client, request, query, call.identity)
    except ToolFailure as error:
        return _Found(pod.name, container, LogRead(), error.message)
    return _Found(pod.name, container, read, read.kubelet_problem)


def _share_space(found: list[_Found], arguments: LogsArguments) -> list[ContainerLog]:
    """Give each log its share of the output: short ones are shown whole, the others share what is left."""
    width = arguments.line_characters
    share = fair_share([log.size(width, arguments.alternatives) for log in found], TEXT_BYTES)
    return [_fit_log(log, max(share, MIN_SHARE), arguments) for log in found]


def _fit_log(log: _Found, share: int, arguments: LogsArguments) -> ContainerLog:
    lines = [line.cut(arguments.line_characters, arguments.alternatives) for line in log.read.lines]
    kept = _fitting_lines(lines, share, arguments)
    return ContainerLog(
        pod=log.pod,
        container=log.container,
        lines=[str(line) for line in kept],
        left_out=_count_matching(log.read, arguments) - len(kept),
        problem=log.problem,
        read=log.read.read,
        complete=log.read.has_all and log.read.matching == _count_matching(log.read, arguments) and not log.problem,
        notes=[] if log.problem else _describe_reading(log.read, len(kept), arguments),
    )


def _fitting_lines(lines: list[LogLine], share: int, arguments: LogsArguments) -> list[LogLine]:
    """Return the last (or first) lines that fit, at least one, which is cut if it must be."""
    ordered = lines if arguments.from_start else lines[::-1]
    size = 0
    for count, line in enumerate(ordered):
        size += len(str(line).encode()) + 1
        if size > share:
            width = (share - MARK_BYTES) * len(line.text) // max(1, len(line.text.encode()))
            kept = ordered[:count] or [line.cut(width, arguments.alternatives)]
            return kept if arguments.from_start else kept[::-1]
    return lines


def _count_matching(read: LogRead, arguments: LogsArguments) -> int:
    """Count the matching lines. Without grep one more than `tail` is read, to see whether there are more."""
    return read.matching if arguments.grep else min(read.matching, arguments.tail)


def _describe_reading(read: LogRead, shown: int, arguments: LogsArguments) -> list[str]:
    """Say what is not shown or was not read, and how to see it."""
    notes = []
    matching = _count_matching(read, arguments)
    side, other = ("first", "later") if arguments.from_start else ("last", "earlier")
    if arguments.grep and read.matching:
        more = "at least " if not read.has_all else ""
        cut = f", the {side} {shown} are shown" if shown < matching else ""
        notes.append(f"{more}{read.matching} of {read.read} lines match{cut}")
    elif shown < matching:
        notes.append(f"{matching - shown} {other} lines do not fit: read one container alone, or use grep")
    if shown == arguments.tail < matching or read.matching > matching or read.is_enough:
        start = "" if arguments.from_start else "from_start, "
        notes.append(f"there are {other} lines: use a larger tail, {start}grep or since_seconds")
    if read.has_all and not read.read and not arguments.since_seconds:
        notes.append("nothing was written, or the log file was rotated just now: Kubernetes shows only the newest file")
    if read.newest_only:
        how = "from_start with since_seconds reads others"
        notes.append(f"the log is too large: only its newest {read.read} lines were read; {how}")
    if read.stopped:
        why = f"{read.stopped}; narrow with since_seconds"
        notes.append(f"reading stopped after {read.read} lines, later ones were not read: {why}")
    return notes


def _render_log(log: ContainerLog, arguments: LogsArguments) -> str:
    title = f"== {log.pod} {log.container}"
    if log.problem:
        return f"{title}: {log.problem}"
    notes = [f"… {note}" for note in log.notes]
    if not log.lines:
        return "\n".join([f"{title}: {_describe_nothing(log, arguments)}", *notes])
    return "\n".join([title, *notes, *log.lines])


def _describe_nothing(log: ContainerLog, arguments: LogsArguments) -> str:
    since = f" in the last {arguments.since_seconds} s" if arguments.since_seconds else ""
    if not log.complete:
        return f"no lines{' that match' if arguments.grep else ''} in the part that was read{since}"
    if arguments.grep and log.read:
        return f"none of the {log.read} lines{since} contains {arguments.grep!r}; all were read"
    return f"no lines{since}"


LOGS = ReadTool(
    ToolInfo(
        "k8s_logs",
        "Logs",
        "Reads container logs of one pod, or of all pods that match a selector. Kubernetes keeps only the newest file.",
    ),
    LogsArguments,
    logs,
)
