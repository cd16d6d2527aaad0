"""The tool k8s_rollout_history: the revisions of a workload, and what changed between two of them."""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_common.jsontypes import JsonObject, number_at, objects_at, text_at
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.ages import format_age
from skyflo_tools.kubernetes.diffs import diff_versions
from skyflo_tools.kubernetes.lookup import ResourceScope, fetch
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.revisions import Revision, list_revisions
from skyflo_tools.kubernetes.tables import Table, format_lines
from skyflo_tools.output import is_unchecked, redact_object
from skyflo_tools.shortening import one_line, shorten
from skyflo_tools.tool import CallContext, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.rollout import RolloutArguments, resolve_rolling_scope

MAX_REVISIONS_SHOWN = 50
MAX_IMAGES_SHOWN = 10
CAUSE_CHARACTERS = 200
LIST_BYTES = TEXT_BYTES // 2

RevisionNumber = Annotated[int | None, Field(default=None, ge=1, le=1_000_000_000)]


class RolloutHistoryArguments(RolloutArguments):
    revision: Annotated[RevisionNumber, Field(description="Revision to compare. Default: the newest.")]
    compare_with: Annotated[RevisionNumber, Field(description="Earlier revision. Default: the one before it.")]


class RevisionEntry(BaseModel):
    """One revision. `ready` counts the pods of a Deployment's revision; other kinds don't tell."""

    revision: int
    name: str
    created: str
    age: str
    newest: bool
    images: list[str]
    change_cause: str
    ready: str


class RolloutHistoryResult(BaseModel):
    revisions: list[RevisionEntry]
    """The newest first."""
    left_out: int
    compared: list[int]
    """The two revisions of `diff`, or empty if there is only one."""
    diff: str
    notes: list[str] = []


@dataclass(frozen=True)
class Compared:
    """The numbers of the two revisions to compare; None for the newest, and for the one before the later."""

    later: int | None = None
    earlier: int | None = None


async def rollout_history(arguments: RolloutHistoryArguments, call: CallContext) -> ToolOutput[RolloutHistoryResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_rolling_scope(cluster, arguments)
    workload = await fetch(scope, arguments.name, call.identity)
    return await show_history(workload, scope, Compared(arguments.revision, arguments.compare_with), call)


async def show_history(
    workload: KubeObject, scope: ResourceScope, compared: Compared, call: CallContext
) -> ToolOutput[RolloutHistoryResult]:
    """Show the revisions that could be read. If there may be more, a note says why."""
    found = await list_revisions(workload, scope, call.identity, call.services.clock)
    revisions, unread = found.items, [f"not all revisions were read: {found.unread}"] if found.unread else []
    if not revisions:
        nothing = unread[0] if unread else f"{workload} has no revision yet: its controller has not made one"
        return ToolOutput(
            nothing, RolloutHistoryResult(revisions=[], left_out=0, compared=[], diff="", notes=[nothing])
        )
    pair = _choose_pair(workload, revisions, compared)
    diff = await _compare(pair, call)
    shown = revisions[-MAX_REVISIONS_SHOWN:][::-1]
    entries = [await _entry(each, each is revisions[-1] and not unread, call) for each in shown]
    result = RolloutHistoryResult(
        revisions=entries,
        left_out=len(revisions) - len(shown),
        compared=[each.number for each in pair],
        diff=diff,
        notes=unread + _notes(workload),
    )
    return ToolOutput(_render(workload, result), result)


def _choose_pair(workload: KubeObject, revisions: list[Revision], compared: Compared) -> tuple[Revision, ...]:
    """Return the earlier and the later revision to compare; none if there is only one."""
    by_number = {each.number: each for each in revisions}
    for wanted in (compared.later, compared.earlier):
        if wanted is not None and wanted not in by_number:
            kept = ", ".join(str(number) for number in list(by_number)[-MAX_REVISIONS_SHOWN:])
            raise InvalidArguments(
                f"{workload} has no revision {wanted}; the revisions that are kept: {kept}",
                hint="spec.revisionHistoryLimit decides how many are kept",
            )
    later = by_number[compared.later] if compared.later else revisions[-1]
    earlier = [each for each in revisions if each.number < later.number][-1:]
    if compared.earlier:
        earlier = [by_number[compared.earlier]]
    return (*earlier, later) if earlier else ()


async def _compare(pair: tuple[Revision, ...], call: CallContext) -> str:
    """Return the difference of two pod templates. A value that is hidden in one of them is hidden in both."""
    for revision in pair:
        await call.hide_values_of(revision.keeper.body)
    bodies: list[JsonObject] = []
    for revision in pair:
        body = await redact_object(revision.keeper.body, call.redactor())
        if is_unchecked(body):
            return f"revision {revision.number} is too large to be checked for secrets"
        bodies.append(Revision(revision.number, KubeObject(body)).template)
    if not pair:
        return ""
    names = tuple(f"revision {revision.number}" for revision in pair)
    lines = await asyncio.to_thread(diff_versions, bodies[0], bodies[1], (names[0], names[1]))
    return limit_lines(lines, TEXT_BYTES - LIST_BYTES, "diff lines", "k8s_get of the revision's object shows all")


async def _entry(revision: Revision, newest: bool, call: CallContext) -> RevisionEntry:
    keeper = KubeObject(await redact_object(revision.keeper.body, call.redactor()))
    shown = Revision(revision.number, keeper)
    created = text_at(revision.keeper.body, "metadata", "creationTimestamp")
    wanted = number_at(revision.keeper.body, "spec", "replicas")
    ready = number_at(revision.keeper.body, "status", "readyReplicas") or 0
    return RevisionEntry(
        revision=revision.number,
        name=revision.keeper.name,
        created=created,
        age=format_age(created, call.services.clock.now()),
        newest=newest,
        images=_images(shown.template),
        change_cause=shorten(shown.change_cause, CAUSE_CHARACTERS),
        ready="" if wanted is None else f"{ready}/{wanted}",
    )


def _images(template: JsonObject) -> list[str]:
    """Return the images of a template, those of the init containers first."""
    lists = [objects_at(template, "spec", name) for name in ("initContainers", "containers")]
    found = [f"{text_at(each, 'name')}={text_at(each, 'image')}" for each in (*lists[0], *lists[1])]
    more = len(found) - MAX_IMAGES_SHOWN
    return found[:MAX_IMAGES_SHOWN] + ([f"… {more} more"] if more > 0 else [])


def _notes(workload: KubeObject) -> list[str]:
    current, update = (text_at(workload.body, "status", f"{each}Revision") for each in ("current", "update"))
    if workload.kind == "StatefulSet" and current and update and current != update:
        return [f"the update from {current} to {update} is not complete: k8s_rollout_status shows why"]
    return []


def _render(workload: KubeObject, result: RolloutHistoryResult) -> str:
    rows = [
        [f"{each.revision}{' (newest)' if each.newest else ''}", each.name, each.age, each.ready, " ".join(each.images),
         one_line(each.change_cause, CAUSE_CHARACTERS)]
        for each in result.revisions
    ]  # fmt: skip
    columns = ["Revision", "Kept by", "Age", "Ready", "Images", "Change cause"]
    used = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
    table = Table([columns[index] for index in used], [[row[index] for index in used] for row in rows], None, "")
    lines = format_lines(table) + ([f"… {result.left_out} older revisions"] if result.left_out else [])
    title = f"{workload}: revisions, newest first"
    parts = [title, *result.notes, limit_lines(lines, LIST_BYTES, "revisions")]
    if not result.compared:
        return "\n".join([*parts, "Only one revision is kept, so there is nothing to compare."])
    earlier, later = result.compared
    what = f"Pod template, revision {earlier} to {later}:"
    return "\n".join([*parts, what, result.diff or "no difference"])


HISTORY = ReadTool(
    ToolInfo(
        "k8s_rollout_history",
        "Rollout history",
        "Lists a workload's revisions with images, change cause and age, and shows what changed between two of them.",
    ),
    RolloutHistoryArguments,
    rollout_history,
)
