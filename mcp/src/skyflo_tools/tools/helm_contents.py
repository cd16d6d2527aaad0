"""The tools helm_get_values, helm_get_manifest and helm_diff: what a revision consists of."""

import asyncio
from typing import Annotated

from pydantic import BaseModel, Field, JsonValue

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import InvalidArguments, ToolFailure
from skyflo_tools.helm.manifests import ReleaseObject, hide_secrets_of, read_hooks, read_objects
from skyflo_tools.helm.release import Release
from skyflo_tools.helm.release_store import choose_revision
from skyflo_tools.helm.values import merge_values
from skyflo_tools.kubernetes.diffs import diff_objects
from skyflo_tools.kubernetes.pruning import prune
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines, to_yaml
from skyflo_tools.kubernetes.shrinking import MAX_CUTS_NAMED, shrink
from skyflo_tools.output import redact_object
from skyflo_tools.tool import CallContext, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.helm_arguments import (
    HELM_TAGS,
    ReleaseArguments,
    Revision,
    RevisionArguments,
    fitting_blocks,
    open_store,
)

DIFF_BYTES = 32 * 1024


class ValuesArguments(RevisionArguments):
    all_values: Annotated[bool, Field(default=False, description="With the chart's defaults.")]


class ManifestArguments(RevisionArguments):
    kind: Annotated[str, Field(default="", max_length=100, description="Only this kind.")]
    object_name: Annotated[str, Field(default="", max_length=253, description="Only this name.")]
    hooks: Annotated[bool, Field(default=False, description="Show hooks instead.")]


class DiffArguments(ReleaseArguments):
    from_revision: Annotated[
        int | None,
        Field(default=None, ge=1, le=999_999_999, description="Default: the one before."),
    ]
    to_revision: Revision


class ValuesResult(BaseModel):
    name: str
    namespace: str
    revision: int
    values: dict[str, JsonValue] | None
    """null if they are too large for a result."""
    shortened: list[str] = []


class ManifestResult(BaseModel):
    name: str
    namespace: str
    revision: int
    objects: list[str]
    """All objects that match, as kind/name."""
    left_out: int
    """How many of them the text does not show."""


class DiffResult(BaseModel):
    name: str
    namespace: str
    from_revision: int
    to_revision: int
    added: list[str]
    removed: list[str]
    changed: list[str]
    diff: str


async def get_values(arguments: ValuesArguments, call: CallContext) -> ToolOutput[ValuesResult]:
    release, _ = await open_store(arguments, call).read_revision(arguments.name, arguments.revision)
    await hide_secrets_of(release, call)
    chosen = merge_values(release.chart.values, release.config) if arguments.all_values else dict(release.config)
    values = await redact_object(chosen, call.redactor())
    small, cuts = shrink(values, TEXT_BYTES)
    result = ValuesResult(
        name=release.name,
        namespace=release.namespace,
        revision=release.revision,
        values=None if cuts else values,
        shortened=[cut.path for cut in cuts[:MAX_CUTS_NAMED]],
    )
    what = "values with the chart's defaults" if arguments.all_values else "values given by its user"
    title = f"{release} revision {release.revision}: {what}"
    nothing = "none: the chart's defaults are used (all_values=true shows them)"
    cut = f"\n… shortened: {', '.join(str(each) for each in cuts[:MAX_CUTS_NAMED])}" if cuts else ""
    return ToolOutput(f"{title}\n{to_yaml(small) if values else nothing}{cut}", result)


async def get_manifest(arguments: ManifestArguments, call: CallContext) -> ToolOutput[ManifestResult]:
    release, _ = await open_store(arguments, call).read_revision(arguments.name, arguments.revision)
    await hide_secrets_of(release, call)
    objects = await (read_hooks(release) if arguments.hooks else read_objects(release))
    kind, name = arguments.kind.lower(), arguments.object_name
    chosen = [each for each in objects if kind in ("", each.kube.kind.lower()) and name in ("", each.kube.name)]
    if objects and not chosen:
        known = ", ".join(each.title for each in objects[:30])
        raise ToolFailure(f"{release} has no such object", code="not_found", hint=f"it has: {known}")
    blocks = [await _render_object(each, call) for each in chosen]
    shown = fitting_blocks(blocks)
    result = ManifestResult(
        name=release.name,
        namespace=release.namespace,
        revision=release.revision,
        objects=[each.title for each in chosen],
        left_out=len(blocks) - len(shown),
    )
    title = f"{release} revision {release.revision}: {len(chosen)} {'hooks' if arguments.hooks else 'objects'}"
    names = ", ".join(result.objects[len(shown) :])
    rest = [f"… not shown, name one with kind and object_name: {names}"] if result.left_out else []
    return ToolOutput("\n".join([title, *shown, *rest]), result)


async def _render_object(item: ReleaseObject, call: CallContext) -> str:
    body, cuts = shrink(prune(await redact_object(item.body, call.redactor())), TEXT_BYTES)
    head = f"--- # {', '.join(item.hook.events)}, weight {item.hook.weight}\n" if item.hook else "---\n"
    cut = f"# shortened: {', '.join(str(each) for each in cuts[:MAX_CUTS_NAMED])}\n" if cuts else ""
    return f"{head}{cut}{to_yaml(body)}".rstrip()


async def diff(arguments: DiffArguments, call: CallContext) -> ToolOutput[DiffResult]:
    store = open_store(arguments, call)
    records = await store.revisions_of(arguments.name)
    to = choose_revision(records, arguments.to_revision)
    earlier = [each.revision for each in records if each.revision < to.revision]
    if arguments.from_revision is None and not earlier:
        raise InvalidArguments(
            f"no revision before {to.revision} is kept, so there is nothing to compare it with",
            hint="helm_get_manifest shows the revision; pass from_revision to compare another one",
        )
    start = choose_revision(records, arguments.from_revision or earlier[-1])
    before, after = await store.read(start), await store.read(to)
    for release in (before, after):
        await hide_secrets_of(release, call)
    comparison = await compare_releases(before, after, call)
    result = DiffResult(
        name=to.name,
        namespace=to.namespace,
        from_revision=start.revision,
        to_revision=to.revision,
        added=comparison.added,
        removed=comparison.removed,
        changed=comparison.changed,
        diff=limit_lines(comparison.lines, DIFF_BYTES, "lines", "helm_get_manifest shows single objects"),
    )
    counts = f"{len(result.added)} added, {len(result.removed)} removed, {len(result.changed)} changed"
    title = f"{after} from revision {start.revision} to {to.revision}: {counts}"
    return ToolOutput(f"{title}\n{result.diff or 'No difference.'}", result)


class Comparison(BaseModel):
    """The differences of two revisions: chart and values first, then object by object."""

    added: list[str] = []
    removed: list[str] = []
    changed: list[str] = []
    lines: list[str] = []


async def compare_releases(before: Release, after: Release, call: CallContext) -> Comparison:
    found = Comparison()
    pairs = [(_inputs(release), "chart and values") for release in (before, after)]
    found.lines += await _diff(pairs[0][0], pairs[1][0], pairs[0][1], call)
    old = {(each.hook is not None, *each.key): each for each in await _everything(before)}
    new = {(each.hook is not None, *each.key): each for each in await _everything(after)}
    for key in [*new, *(key for key in old if key not in new)]:
        one, other = old.get(key), new.get(key)
        title = _title(other or one)
        lines = await _diff(one.body if one else None, other.body if other else None, title, call)
        found.lines += lines
        if lines:
            (found.added if one is None else found.removed if other is None else found.changed).append(title)
    return found


def _title(item: ReleaseObject | None) -> str:
    if item is None:
        return ""
    return f"{item.title} (hook {', '.join(item.hook.events)})" if item.hook else item.title


async def _everything(release: Release) -> list[ReleaseObject]:
    return [*await read_objects(release), *await read_hooks(release)]


def _inputs(release: Release) -> JsonObject:
    app = release.chart.metadata.app_version
    return {"chart": release.chart_name, **({"appVersion": app} if app else {}), "values": release.config}


async def _diff(before: JsonObject | None, after: JsonObject | None, title: str, call: CallContext) -> list[str]:
    redactor = call.redactor()
    old, new = [body and await redact_object(body, redactor) for body in (before, after)]
    return await asyncio.to_thread(diff_objects, old, new, title)


VALUES = ReadTool(
    ToolInfo(
        "helm_get_values",
        "Values of a release",
        "Shows the values of a Helm release, of its latest or an earlier revision. Secrets are masked.",
        tags=HELM_TAGS,
    ),
    ValuesArguments,
    get_values,
)
MANIFEST = ReadTool(
    ToolInfo(
        "helm_get_manifest",
        "Manifest of a release",
        "Shows what a Helm release rendered: its objects or its hooks. k8s_get shows what runs now.",
        tags=HELM_TAGS,
    ),
    ManifestArguments,
    get_manifest,
)
DIFF = ReadTool(
    ToolInfo(
        "helm_diff",
        "Compare revisions",
        "Compares two revisions of a Helm release: chart, values and rendered objects. To see what an upgrade would "
        "change, propose it: its preview shows that.",
        tags=HELM_TAGS,
    ),
    DiffArguments,
    diff,
)
