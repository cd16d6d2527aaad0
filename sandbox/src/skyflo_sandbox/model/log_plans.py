"""Plans that show logs and events."""

from skyflo_common.jsontypes import JsonValue
from skyflo_sandbox.model import health
from skyflo_sandbox.model.markdown import code, code_block, count_of, injection_note, paragraphs, quote, rows
from skyflo_sandbox.model.plan import Answer, Memory, Result, Scope, Steps, ask, describe_failure
from skyflo_sandbox.model.resolve import format_place, pods_of_workload, resolve_target, scope_of
from skyflo_sandbox.model.tool_output import Event, Row, events, logs
from skyflo_sandbox.model.user_request import UserRequest

__all__ = ["list_events", "show_logs"]

LOG_LINES = 30
EVENTS_SHOWN = 15
LOGS_AT_MOST = 4


def list_events(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """List the latest events of a namespace or of one object."""
    scope, focus = scope_of(request, memory), memory.focus
    of: dict[str, JsonValue] = {"type": "Warning"} if request.unhealthy else {}
    where = format_place(scope, "events")
    if request.target.names or (request.target.pronoun and focus and focus.kind != "namespaces"):
        found = yield from resolve_target(request, memory, ("deployments", "services", "pods"))
        focus = found.ref
        scope, where = Scope(focus.cluster, focus.namespace), f"about the {focus}"
        of |= {"name": focus.name}
    result = (yield from ask(scope.events(**of)))[0]
    if not result.ok:
        return Answer(describe_failure(result))
    shown = events(result.text)
    if not shown:
        return Answer(
            f"No {'warnings' if request.unhealthy else 'events'} are kept {where} (they last about an hour).", focus
        )
    laid = [
        [event.at[11:19], event.type, event.reason, f"{event.namespace}/{event.object}", _with_count(event)]
        for event in shown
    ]
    text = rows(["TIME", "TYPE", "REASON", "OBJECT", "MESSAGE"], laid, EVENTS_SHOWN)
    remark = injection_note(event.message for event in shown)
    return Answer(f"{count_of(len(shown), 'event')} {where}, the newest first:\n\n{text}{remark}", focus)


def _with_count(event: Event) -> str:
    return f"{event.message} (x{event.count})" if event.count > 1 else event.message


def show_logs(request: UserRequest, memory: Memory) -> Steps[Answer]:
    """Show the last log lines of a pod, or of each pod of a workload."""
    found = yield from resolve_target(request, memory, ("pods", "deployments"))
    workload = found.of_kind("deployments", "statefulsets", "daemonsets", "services")
    scope = Scope(found.ref.cluster, found.ref.namespace)
    pods = pods_of_workload(workload.name, workload.namespace, found.inventory.pods) if workload else []
    names = [row["NAME"] for row in sorted(pods, key=_failing_first)] or [
        ref.name for ref in found.refs if ref.kind == "pods"
    ]
    if not names:
        return Answer(f"The {found.ref} has no pods, so there are no logs.", found.ref)
    shown = min(len(names), LOGS_AT_MOST)
    arguments = _log_arguments(request, shown)
    results = yield from ask(*(scope.call("k8s_logs", pod=name, **arguments) for name in names[:shown]))
    parts = [_format_log(result, request) for result in results]
    more = f"… and {len(names) - shown} more pods." if len(names) > shown else ""
    return Answer(paragraphs(*parts, more), workload or found.ref)


def _failing_first(row: Row) -> tuple[bool, str]:
    return health.pod_problem(row) == "", row["NAME"]


def _log_arguments(request: UserRequest, pods: int) -> dict[str, JsonValue]:
    """Choose the lines of each pod: as many as asked for, else fewer where there are several pods."""
    arguments: dict[str, JsonValue] = {"tail": request.tail or (LOG_LINES if pods == 1 else LOG_LINES // 3)}
    if request.grep:
        arguments |= {"grep": request.grep, "tail": 1_000}
    return arguments | ({"previous": True} if request.previous else {})


def _format_log(result: Result, request: UserRequest) -> str:
    if not result.ok:
        return describe_failure(result)
    parts = []
    run = "the previous run of " if request.previous else ""
    for log in logs(result.text):
        whose = f"{run}{code(log.pod)} ({log.container})"
        kept = list(log.lines[-(request.tail or LOG_LINES) :])
        matching = f" that contain {code(request.grep)}" if request.grep else ""
        if log.problem:
            parts.append(f"{whose}: {quote(log.problem)}")
        elif not kept:
            parts.append(f"{whose} wrote no lines{matching}.")
        else:
            title = f"{whose}, last {count_of(len(kept), 'line')}{matching}:"
            parts.append(f"{title}\n\n{code_block(kept[-200:])}{injection_note(kept)}")
    return "\n\n".join(parts) or quote(result.text)
