"""Show the conditions of an object as lines, with secrets masked."""

from skyflo_tools.kubernetes.conditions import format_condition, reports_problem
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.output import redact_object
from skyflo_tools.tool import CallContext

MAX_CONDITIONS_SHOWN = 20


async def condition_lines(found: KubeObject, call: CallContext, *, only_problems: bool = False) -> list[str]:
    """Return an object's conditions, or only those that report a problem, with secrets masked."""
    redacted = KubeObject(await redact_object(found.body, call.redactor()))
    chosen = [each for each in redacted.conditions if not only_problems or reports_problem(each)]
    more = len(chosen) - MAX_CONDITIONS_SHOWN
    lines = [f"condition {format_condition(each)}" for each in chosen[:MAX_CONDITIONS_SHOWN]]
    return lines + ([f"… {more} more conditions, k8s_describe shows them"] if more > 0 else [])
