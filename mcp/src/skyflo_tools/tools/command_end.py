"""Wait for the end of a Job or a pod, and read its exit code and its output. What can't be read becomes a note."""

from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, number_at, object_at, objects_at, text_at
from skyflo_common.redaction import redact_large_text
from skyflo_tools.change_result import ChangeResult
from skyflo_tools.errors import ToolFailure
from skyflo_tools.kubernetes.client import ApiRequest, json_request
from skyflo_tools.kubernetes.listing import ListReader
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import summarize_pod
from skyflo_tools.operations import Target
from skyflo_tools.output_tail import OutputTail
from skyflo_tools.shortening import shorten
from skyflo_tools.side_reads import read_side
from skyflo_tools.tool import CallContext

POLL_SECONDS = 1.0
LOG_BYTES = 256 * 1024
MAX_PODS_READ = 100
LINE_CHARACTERS = 1000
_ENDED_PHASES = ("Succeeded", "Failed")


class CommandResult(ChangeResult):
    """The result of a change that runs a command. `exit_code` and `finished` say whether and how it ended."""

    finished: bool
    exit_code: int | None
    output: str
    """What it wrote, without secrets. The middle of a long output is left out, which is said."""

    def render_text(self) -> str:
        code = "" if self.exit_code is None else f"exit code {self.exit_code}"
        end = [code or "ended"] if self.finished else ["not finished"]
        output = ["output:", self.output] if self.output else ["no output"]
        warnings = [f"Warning: {warning}" for warning in self.warnings]
        return "\n".join([f"{self.summary}: {', '.join(end)}", *warnings, *self.report, *output])


@dataclass
class EndReader:
    """Waits for the end of one Job or pod that a change has just created."""

    scope: ResourceScope
    name: str
    call: CallContext
    seconds: float
    remove: bool = False

    async def finish(self, result: ChangeResult) -> CommandResult:
        """Complete the result of the creation. A failure to wait or to read becomes a warning: the change was made."""
        waited = await _wait_for_end(self)
        pod, problems = await self._last_pod(waited.found)
        output = await self._read_output(pod) if pod is not None else ""
        report = [] if pod is None else [shorten(summarize_pod(pod, []).line(), LINE_CHARACTERS)]
        problems = [*waited.problems, *problems]
        if not waited.finished and not waited.problems:
            problems.append(f"it has not ended within {self.seconds:.0f} s and goes on; k8s_logs shows its output")
        if self.remove:
            problems += await self._remove(waited.found, finished=waited.finished)
        return CommandResult(
            **{**result.model_dump(), "warnings": [*result.warnings, *problems], "report": report},
            finished=waited.finished,
            exit_code=_exit_code(pod),
            output=output,
        )

    async def _last_pod(self, found: KubeObject | None) -> tuple[KubeObject | None, list[str]]:
        """Return the pod that ran last, with problems of reading it."""
        if found is None or self.scope.resource.kind == "Pod":
            return found, []
        labels = f"batch.kubernetes.io/controller-uid={found.uid}"

        async def read() -> list[KubeObject]:
            pods = await resolve_scope(self.scope.cluster, "v1/Pod", self.scope.namespace)
            reader = ListReader(self.call.identity, self.call.services.clock, MAX_PODS_READ)
            return (await reader.read(pods, KubeObject, labels=labels)).items

        pods = await read_side("its pods", read(), [])
        newest = max(pods.value, key=lambda pod: text_at(pod.body, "metadata", "creationTimestamp"), default=None)
        return newest, [pods.problem] if pods.problem else []

    async def _read_output(self, pod: KubeObject) -> str:
        """Read the log of the first container, within bounds."""
        container = next(iter(objects_at(pod.body, "spec", "containers")), {})
        pods = await resolve_scope(self.scope.cluster, "v1/Pod", self.scope.namespace)
        path = pods.resource.object_path(self.scope.namespace, pod.name, "log")
        params = {"container": text_at(container, "name"), "limitBytes": str(LOG_BYTES)}
        request = ApiRequest("GET", path, params, accept="*/*")

        async def read() -> str:
            return (await self.scope.cluster.client.send(request, self.call.identity)).text()

        found = await read_side("its output", read(), "")
        tail = OutputTail()
        tail.add((await redact_large_text(self.call.redactor(), found.value)).encode())
        cut = f"\n… the output after {LOG_BYTES} bytes was not read" if len(found.value) >= LOG_BYTES else ""
        return found.problem or tail.text() + cut

    async def _remove(self, found: KubeObject | None, *, finished: bool) -> list[str]:
        """Delete the pod. Returns why it is still there, if it is."""
        if found is None or not finished:
            return [f"pod/{self.name} was not deleted, because it has not ended: k8s_delete deletes it"]
        target = Target(self.scope.cluster, self.scope.resource, self.scope.namespace, self.name)
        body: JsonObject = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": found.uid}}
        try:
            await target.cluster.client.send(json_request("DELETE", target.path, body), self.call.identity)
        except ToolFailure as error:
            return [f"pod/{self.name} could not be deleted: {error.message}"]
        return []


@dataclass
class _Waited:
    """The object as it was read last, and whether it has ended."""

    found: KubeObject | None
    finished: bool
    problems: list[str]


async def _wait_for_end(reader: EndReader) -> _Waited:
    """Poll until the object has ended or the time is over. Errors of reading end the wait."""
    clock = reader.call.services.clock
    give_up_at = clock.monotonic() + reader.seconds
    reported = ""
    found: KubeObject | None = None
    while True:
        try:
            found = await fetch(reader.scope, reader.name, reader.call.identity)
        except ToolFailure as error:
            return _Waited(found, False, [f"its end could not be read: {error.message}"])
        if has_ended(found):
            return _Waited(found, True, [])
        if clock.monotonic() >= give_up_at:
            return _Waited(found, False, [])
        if (state := _state(found)) != reported:
            await reader.call.progress(0, 1, f"{found.kind.lower()}/{reader.name}: {state}")
            reported = state
        await clock.sleep(POLL_SECONDS)


def has_ended(found: KubeObject) -> bool:
    if found.kind == "Pod":
        return text_at(found.body, "status", "phase") in _ENDED_PHASES
    return any(
        text_at(each, "type") in ("Complete", "Failed") and text_at(each, "status") == "True"
        for each in found.conditions
    )


def _state(found: KubeObject) -> str:
    if found.kind == "Pod":
        return text_at(found.body, "status", "phase") or "Pending"
    return f"{number_at(found.body, 'status', 'active') or 0} active"


def _exit_code(pod: KubeObject | None) -> int | None:
    """Return the exit code of the first container; None if it has not ended."""
    first: JsonObject = next(iter(objects_at(pod.body if pod else {}, "spec", "containers")), {})
    for status in objects_at(pod.body if pod else {}, "status", "containerStatuses"):
        if text_at(status, "name") == text_at(first, "name"):
            return number_at(object_at(status, "state", "terminated"), "exitCode")
    return None
