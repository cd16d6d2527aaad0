"""The tool k8s_exec: run a command in a container that runs already."""

import json
import shlex
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from skyflo_common.jsontypes import objects_at, text_at
from skyflo_tools.change_result import ChangeResult
from skyflo_tools.dry_run import DryRun
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.diffs import make_visible
from skyflo_tools.kubernetes.exec_stream import run_command
from skyflo_tools.kubernetes.lookup import fetch, resolve_scope
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.pod_summary import summarize_pod
from skyflo_tools.operations import Exec, Target
from skyflo_tools.plan import Plan, Write
from skyflo_tools.risk import Risk
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext, ChangeTool, ClusterArguments, Namespace, ToolInfo
from skyflo_tools.tools.command_end import CommandResult

MAX_SECONDS = 480
DEADLINE = MAX_SECONDS + 60.0
MAX_COMMAND_CHARACTERS = 16_000
DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_SHELLS = frozenset({"sh", "bash", "ash", "dash", "zsh", "ksh", "busybox", "pwsh"})


class ExecArguments(ClusterArguments):
    pod: Annotated[str, Field(min_length=1, max_length=253, description="Name of the pod.")]
    namespace: Namespace
    container: Annotated[
        str | None, Field(default=None, max_length=63, description="Default: the pod's default or first container.")
    ]
    argv: Annotated[
        list[Annotated[str, Field(max_length=16 * 1024)]],
        Field(min_length=1, max_length=100, description="Command and its arguments as a list. No shell reads it."),
    ]
    shell: Annotated[
        bool, Field(default=False, description="Run argv[0] as a script of `sh -c`; the others are $1, $2 ...")
    ]
    timeout_seconds: Annotated[int, Field(default=60, ge=1, le=MAX_SECONDS, description="Seconds to wait for its end.")]


async def execute(arguments: ExecArguments, call: CallContext) -> Plan:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    pods = await resolve_scope(cluster, "v1/Pod", arguments.namespace)
    pod = await fetch(pods, arguments.pod, call.identity)
    container = _choose_container(pod, arguments.container)
    argv = ["sh", "-c", arguments.argv[0], "sh", *arguments.argv[1:]] if arguments.shell else arguments.argv
    target = Target(cluster, pods.resource, pods.namespace, pod.name, "exec")
    operation = Exec(tuple(argv), container)
    where = f"container {container} of {pod}"
    shown = _show(argv, call)
    if len(shown) > MAX_COMMAND_CHARACTERS:
        raise InvalidArguments(
            f"the command has {len(shown)} characters; {MAX_COMMAND_CHARACTERS} can be shown for approval"
        )

    async def finish(result: ChangeResult, _writes: Sequence[DryRun]) -> ChangeResult:
        request = operation.request(target, pod)
        running = run_command(cluster.client, request, call.identity, arguments.timeout_seconds)
        end = await call.effects.attempt(running)
        return CommandResult(**result.model_dump(), finished=True, exit_code=end.exit_code, output=end.output)

    return Plan(
        writes=(Write(target, operation, deferred_as=_diff(where, shown), access=("create", "get")),),
        summary=f"Run a command in {where}: {one_line(shown, 200)}",
        done_summary=f"Ran a command in {where}",
        risk=Risk(level="destructive", reason="a command may change anything in its container; no preview can show it"),
        warnings=("it runs a shell, which reads its arguments as a program",) if _is_shell(argv[0]) else (),
        finish=finish,
    )


def _choose_container(pod: KubeObject, wanted: str | None) -> str:
    """Return the container to use. Raises InvalidArguments if it is not there or does not run."""
    names = [text_at(each, "name") for each in objects_at(pod.body, "spec", "containers")]
    others = [
        text_at(each, "name")
        for field in ("initContainers", "ephemeralContainers")
        for each in objects_at(pod.body, "spec", field)
    ]
    by_default = pod.annotations.get(DEFAULT_CONTAINER, "")
    chosen = wanted or (by_default if by_default in names else next(iter(names), ""))
    if chosen not in [*names, *others]:
        listed = ", ".join([*names, *others])
        raise InvalidArguments(f"{pod} has no container {chosen}", hint=f"its containers: {listed}")
    statuses = [
        status
        for field in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        for status in objects_at(pod.body, "status", field)
        if text_at(status, "name") == chosen
    ]
    if not any("running" in state for status in statuses if isinstance(state := status.get("state"), dict)):
        state_line = summarize_pod(pod, []).line()
        raise InvalidArguments(f"container {chosen} does not run: {state_line}", hint="k8s_logs shows what it wrote")
    return chosen


def _diff(where: str, shown: str) -> str:
    """Return the lines of the diff. Characters that can't be seen are made visible."""
    return "\n".join(f"+{make_visible(line)}" for line in f"run in {where}: {shown}".split("\n"))


def _show(argv: Sequence[str], call: CallContext) -> str:
    """Return the command as a shell would read it, without secrets."""
    redacted = call.redactor().redact([*argv])
    items = redacted if isinstance(redacted, list) else [json.dumps(redacted)]
    return shlex.join(str(item) for item in items)


def _is_shell(program: str) -> bool:
    return program.rpartition("/")[2] in _SHELLS


EXEC = ChangeTool(
    ToolInfo(
        "k8s_exec",
        "Run a command in a pod",
        "Runs a command in a running container; brings its exit code and output. Prefer a read tool that answers.",
    ),
    ExecArguments,
    execute,
    destructive=True,
    idempotent=False,
    deadline=DEADLINE,
    output=CommandResult,
)
