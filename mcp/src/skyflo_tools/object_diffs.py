"""Show the difference that dry runs make, with secrets masked. Previews, results and k8s_diff share it."""

import asyncio
from collections.abc import Sequence

from skyflo_common.redaction import Redactor
from skyflo_tools.dry_run import DryRun
from skyflo_tools.kubernetes.diffs import diff_objects
from skyflo_tools.kubernetes.pruning import LAST_APPLIED, without_side_fields
from skyflo_tools.kubernetes.rendering import count_fitting_lines, limit_lines
from skyflo_tools.output import redact_object
from skyflo_tools.tool import CallContext

DIFF_BYTES = 48 * 1024


async def combine_diffs(
    dry_runs: Sequence[DryRun], call: CallContext, own_diff: Sequence[str] = ()
) -> tuple[str, list[str]]:
    """Return the difference of all objects after that of what is no object, and what of it can't be shown."""
    redactor = call.redactor()
    diffs = [await _render_diff(dry_run, redactor) for dry_run in dry_runs]
    hidden = [
        f"what changes of {dry_run.write.target} can't be shown: it is too large to be checked for secrets"
        for dry_run, diff in zip(dry_runs, diffs, strict=True)
        if not diff and dry_run.touches
    ]
    lines = [*own_diff, *(line for diff in diffs for line in diff)]
    text = limit_lines(lines, DIFF_BYTES, "diff lines")
    if count_fitting_lines(lines, DIFF_BYTES) < len(lines):
        hidden.append("the difference is too long to be shown whole: ask for smaller changes")
    return text, hidden


async def _render_diff(dry_run: DryRun, redactor: Redactor) -> list[str]:
    """Render what changes. Status and the last-applied annotation are left out unless the change touches them."""
    if dry_run.write.deferred_as:
        return dry_run.write.deferred_as.split("\n")
    live = dry_run.live.body if dry_run.live else None
    touched = [*dry_run.fields.requested, *dry_run.fields.added]
    is_update = live is not None and dry_run.after is not None
    status = any(path[0] == ".status" for path in touched) if is_update else not dry_run.write.target.has_status
    last_applied = any(f".{LAST_APPLIED}" in path for path in touched)
    bodies = [
        without_side_fields(body, status=not status, last_applied=not last_applied) for body in (live, dry_run.after)
    ]
    before, after = [body and await redact_object(body, redactor) for body in bodies]
    return await asyncio.to_thread(diff_objects, before, after, str(dry_run.write.target))
