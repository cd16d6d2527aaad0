"""The tools helm_list_releases and helm_history: which releases and revisions there are."""

from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.errors import ToolFailure
from skyflo_tools.helm.release import Release
from skyflo_tools.helm.release_store import ReleaseStore, RevisionRecord, latest_of_each
from skyflo_tools.kubernetes.lookup import require_namespace, resolve_scope
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext, ClusterArguments, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.helm_arguments import HELM_TAGS, ReleaseArguments, open_store

MAX_RELEASES = 200
MAX_REVISIONS_SHOWN = 20
DESCRIPTION_CHARACTERS = 300


class ListReleasesArguments(ClusterArguments):
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="List all namespaces.")]


class RevisionSummary(BaseModel):
    """A revision of a release. `problem` says why it could not be read; then only its labels are known."""

    name: str
    namespace: str
    revision: int
    status: str
    chart: str = ""
    app_version: str = ""
    updated: str = ""
    description: str = ""
    problem: str = ""

    def line(self) -> str:
        where = f"{self.namespace}/{self.name} revision {self.revision}: {self.status}"
        chart = [self.chart + (f" (app {self.app_version})" if self.app_version else "")] if self.chart else []
        updated = [f"updated {self.updated}"] if self.updated else []
        return ", ".join([where, *chart, *updated, *(text for text in (self.description, self.problem) if text)])


class ReleaseList(BaseModel):
    releases: list[RevisionSummary]
    note: str = ""
    """Why there may be more."""


class History(BaseModel):
    revisions: list[RevisionSummary]
    """Newest first."""
    older: int
    """How many older revisions are not shown."""


async def list_releases(arguments: ListReleasesArguments, call: CallContext) -> ToolOutput[ReleaseList]:
    cluster = call.services.clusters.choose(arguments.cluster)
    namespace = "" if arguments.all_namespaces else arguments.namespace or cluster.namespace
    store = ReleaseStore(cluster, namespace, call.identity)
    listed = await store.list_revisions()
    latest = latest_of_each(listed.items)
    left_out = len(latest) - MAX_RELEASES
    notes = [listed.unread] if listed.unread else []
    notes += [f"{left_out} more releases: list one namespace at a time"] if left_out > 0 else []
    result = ReleaseList(releases=await _summaries(latest[:MAX_RELEASES], store, call), note="; ".join(notes))
    if not latest and not listed.unread:
        scope = await resolve_scope(cluster, "v1/Secret", namespace, everywhere=not namespace)
        gone = await require_namespace(scope, call.identity)
        where = f"in namespace {namespace}{gone}" if namespace else "in any namespace"
        return ToolOutput(f"No Helm releases {where}.", result)
    lines = [each.line() for each in result.releases]
    rest = [f"… {result.note}"] if result.note else []
    return ToolOutput("\n".join([limit_lines(lines, TEXT_BYTES, "releases", "name a namespace"), *rest]), result)


async def history(arguments: ReleaseArguments, call: CallContext) -> ToolOutput[History]:
    store = open_store(arguments, call)
    records = await store.revisions_of(arguments.name)
    newest = list(reversed(records))[:MAX_REVISIONS_SHOWN]
    older = len(records) - len(newest)
    result = History(revisions=await _summaries(newest, store, call), older=older)
    rest = [f"… {older} older revisions"] if older else []
    return ToolOutput("\n".join([*(each.line() for each in result.revisions), *rest]), result)


async def _summaries(records: list[RevisionRecord], store: ReleaseStore, call: CallContext) -> list[RevisionSummary]:
    found = await store.read_all(records)
    return [_summarize(*pair, call) for pair in zip(records, found, strict=True)]


def _summarize(record: RevisionRecord, found: Release | ToolFailure, call: CallContext) -> RevisionSummary:
    known = RevisionSummary(
        name=record.name, namespace=record.namespace, revision=record.revision, status=record.status
    )
    if isinstance(found, ToolFailure):
        return known.model_copy(update={"problem": f"it could not be read: {found.message}"})
    description = call.redactor().redact_text(found.info.description)
    more = {
        "status": found.info.status,
        "chart": found.chart_name,
        "app_version": found.chart.metadata.app_version,
        "updated": found.info.last_deployed[:19],
        "description": one_line(description, DESCRIPTION_CHARACTERS),
    }
    return known.model_copy(update=more)


LIST = ReadTool(
    ToolInfo(
        "helm_list_releases",
        "Helm releases",
        "Lists Helm releases with status, revision, chart and last change. helm_status shows one in detail.",
        tags=HELM_TAGS,
    ),
    ListReleasesArguments,
    list_releases,
)
HISTORY = ReadTool(
    ToolInfo(
        "helm_history",
        "History of a release",
        "Lists the revisions of a Helm release, newest first: what was deployed, failed or rolled back.",
        tags=HELM_TAGS,
    ),
    ReleaseArguments,
    history,
)
