"""The tool helm_status: a release, the health of its objects, and what to do about a failed or pending one."""

from pydantic import BaseModel

from skyflo_tools.helm.health import HealthReader, ObjectHealth
from skyflo_tools.helm.manifests import hide_secrets_of, read_objects
from skyflo_tools.helm.release import Release
from skyflo_tools.helm.release_store import RevisionRecord, last_deployed
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.shortening import one_line, shorten
from skyflo_tools.tool import CallContext, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.helm_arguments import HELM_TAGS, ReleaseArguments, open_store

MAX_OBJECTS_SHOWN = 100
NOTES_CHARACTERS = 2000
DESCRIPTION_CHARACTERS = 1500
RECENT_SECONDS = 300
_ORDER = ("degraded", "missing", "unknown", "progressing", "healthy")


class ReleaseStatus(BaseModel):
    name: str
    namespace: str
    revision: int
    status: str
    chart: str
    app_version: str
    updated: str
    description: str
    next_steps: list[str]
    """What to do about a release that failed or is pending."""
    objects: list[ObjectHealth]
    """Those in trouble first."""
    objects_left_out: int
    notes: str
    """The notes of the chart."""


async def status(arguments: ReleaseArguments, call: CallContext) -> ToolOutput[ReleaseStatus]:
    store = open_store(arguments, call)
    release, records = await store.read_revision(arguments.name, None)
    await hide_secrets_of(release, call)
    objects = await HealthReader(store.cluster, call).read_all(await read_objects(release))
    ordered = sorted(objects, key=lambda each: _ORDER.index(each.state))
    redactor = call.redactor()
    result = ReleaseStatus(
        name=release.name,
        namespace=release.namespace,
        revision=release.revision,
        status=release.info.status,
        chart=release.chart_name,
        app_version=release.chart.metadata.app_version,
        updated=release.info.last_deployed[:19],
        description=one_line(redactor.redact_text(release.info.description), DESCRIPTION_CHARACTERS),
        next_steps=next_steps(records, call.services.clock.now() / 1000),
        objects=ordered[:MAX_OBJECTS_SHOWN],
        objects_left_out=max(0, len(ordered) - MAX_OBJECTS_SHOWN),
        notes=shorten(redactor.redact_text(release.info.notes), NOTES_CHARACTERS),
    )
    return ToolOutput(_render(result, release), result)


def next_steps(records: list[RevisionRecord], now: float) -> list[str]:
    """Explain a release whose latest revision failed or is pending, and what to do about it."""
    latest = records[-1]
    earlier = last_deployed(records, latest.revision)
    back = f"helm_rollback to revision {earlier.revision}" if earlier else ""
    if latest.status == "failed" and back:
        return [f"the last change failed; fix its cause and use helm_upgrade again, or {back} (what worked last)"]
    if latest.status == "failed":
        again = "fix its cause and use helm_upgrade, or helm_uninstall and helm_install"
        return [f"the installation failed and no revision ever worked: {again}"]
    if not latest.is_pending:
        return []
    age = int(now) - latest.modified_at if latest.modified_at else None
    if age is not None and age < RECENT_SECONDS:
        return [f"{latest.status} since {max(0, age)} s: another helm process may be at work; look again before acting"]
    stuck = f"{latest.status} since long: the helm process that did it is gone, and Helm refuses further changes"
    if latest.status in ("pending-install", "uninstalling") or not back:
        return [f"{stuck}; helm_uninstall removes what there is, then helm_install"]
    return [f"{stuck}; {back} releases it"]


def _render(result: ReleaseStatus, release: Release) -> str:
    app = f" (app {result.app_version})" if result.app_version else ""
    head = f"{release}: {result.status}, revision {result.revision}, chart {result.chart}{app}, {result.updated}"
    healthy = sum(each.state == "healthy" for each in result.objects)
    lines = [head, f"Description: {result.description}"]
    lines += [f"Next step: {step}" for step in result.next_steps]
    lines.append(f"Objects: {healthy} of {len(result.objects) + result.objects_left_out} healthy")
    lines += [f"  {line}" for each in result.objects for line in each.lines()]
    lines += [f"  … {result.objects_left_out} more objects"] if result.objects_left_out else []
    lines += ["Notes of the chart:", *result.notes.splitlines()] if result.notes.strip() else []
    return limit_lines(lines, TEXT_BYTES, "lines", "k8s_rollout_status and k8s_describe show single objects")


STATUS = ReadTool(
    ToolInfo(
        "helm_status",
        "Status of a release",
        "Shows a Helm release with the health of each of its objects, and the next step if it failed or is pending.",
        tags=HELM_TAGS,
    ),
    ReleaseArguments,
    status,
)
