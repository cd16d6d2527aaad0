"""The tool k8s_get: get one object or a list, as a table or as YAML, or a part of one object."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from skyflo_common.jsontypes import JsonObject, number_at, object_at, text_at
from skyflo_tools.errors import ApiStatusError, InvalidArguments
from skyflo_tools.kubernetes import tables
from skyflo_tools.kubernetes.client import TABLE_MEDIA_TYPE, ApiRequest
from skyflo_tools.kubernetes.listing import list_items
from skyflo_tools.kubernetes.lookup import ResourceScope, explain_error, fetch, require_namespace, resolve_scope
from skyflo_tools.kubernetes.pod_summary import PodSummary
from skyflo_tools.kubernetes.pruning import prune
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, count_fitting_lines, to_yaml
from skyflo_tools.kubernetes.shrinking import MAX_CUTS_NAMED, describe_cuts, shrink
from skyflo_tools.output import redact_object
from skyflo_tools.reports.pod_report import add_pod_details, is_pod_scope, summarize_bodies
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext, ClusterArguments, Kind, Namespace, ReadTool, ToolInfo, ToolOutput
from skyflo_tools.tools.object_parts import PartRange, PartResult, Range, render_part
from skyflo_tools.tools.projection import parse_columns, project

Selector = Annotated[str, Field(max_length=1000, pattern=r"^[\x20-\x7e]*$")]
ColumnText = Annotated[str, Field(min_length=1, max_length=300)]
NARROW_HINT = "narrow with namespace, label_selector or field_selector"
MAX_EMPTY_PAGES = 20
SUMMARY_CHARACTERS = 2500
PART_SECONDS = 20.0
"""A part is shown only after the whole object was searched for secrets, which takes seconds for a megabyte of them."""


class GetArguments(ClusterArguments):
    kind: Kind
    name: Annotated[str | None, Field(default=None, max_length=253, description="One object; without it, a list.")]
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Look in every namespace.")]
    label_selector: Annotated[Selector, Field(default="", description="Such as `app=api,tier!=cache`.")]
    field_selector: Annotated[Selector, Field(default="", description="Such as `status.phase=Pending`.")]
    output: Annotated[
        Literal["table", "wide", "yaml"],
        Field(
            default="table", description="`table` as kubectl prints it, `wide` with more columns, `yaml` whole objects."
        ),
    ]
    columns: Annotated[
        list[ColumnText],
        Field(
            default_factory=list,
            max_length=12,
            description="Fields to show instead of the usual columns, such as `spec.nodeName` or"
            ' `READY:status.conditions[?(@.type=="Ready")].status`.',
        ),
    ]
    limit: Annotated[int, Field(default=100, ge=1, le=500, description="How many objects at most.")]
    cursor: Annotated[
        str, Field(default="", max_length=4000, description="Cursor of an earlier result, to continue the list.")
    ]
    path: Annotated[
        str,
        Field(
            default="",
            max_length=1000,
            description=r"Only this part of the named object, such as `data.config\.yaml` or `spec.containers[0].env`.",
        ),
    ]
    lines: Annotated[
        Range, Field(default="", description="Lines of the part or of the YAML: `200-300`, `200-`, `-50`.")
    ]
    characters: Annotated[Range, Field(default="", description="The same by characters, for very long lines.")]


class TableResult(BaseModel):
    kind: str
    columns: list[str]
    rows: list[list[str]]
    more: int | None
    cursor: str
    notes: list[str] = []
    """Columns that no object has."""


class ObjectsResult(BaseModel):
    kind: str
    objects: list[dict[str, JsonValue]]
    left_out: int
    more: int | None
    cursor: str
    shortened: list[str] = []
    """Paths of fields that were shortened, of the first object."""
    pods: list[PodSummary] = []
    """The state of each pod, if the objects are pods."""


@dataclass(frozen=True)
class Page:
    """One response of a list, and how to continue it."""

    response: JsonObject
    more: int | None
    cursor: str

    def remaining_text(self, fitting: int | None = None) -> str:
        """Describe what is left. A page that was cut has no cursor, because it would skip the removed objects."""
        if self.cursor:
            return f"\n… {self.more if self.more is not None else 'some'} more, {NARROW_HINT}, or pass the cursor"
        smaller = f"limit={fitting}, which gives a cursor" if fitting else "a smaller limit"
        return f"\n… {self.more} more, {NARROW_HINT}, or with {smaller}" if self.more else ""


async def get(arguments: GetArguments, call: CallContext) -> ToolOutput[TableResult | ObjectsResult | PartResult]:
    if arguments.name and arguments.all_namespaces:
        raise InvalidArguments("a name is looked up in one namespace: leave out all_namespaces")
    cluster = call.services.clusters.choose(arguments.cluster)
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace, everywhere=arguments.all_namespaces)
    part = PartRange(arguments.path, arguments.lines, arguments.characters)
    if arguments.columns and (part.is_given or arguments.output == "yaml"):
        raise InvalidArguments("columns make a table: leave out path, lines, characters and output=yaml")
    if part.is_given:
        if not arguments.name:
            raise InvalidArguments("path, lines and characters need the name of one object")
        found = await fetch(scope, arguments.name, call.identity)
        return render_part(found, prune(await redact_object(found.body, call.redactor(), PART_SECONDS)), part)
    if arguments.name and _reads_objects(arguments):
        body = (await fetch(scope, arguments.name, call.identity)).body
        return await _render_objects([body], Page(body, None, ""), arguments, scope, call)
    if arguments.name:
        page = await _read_named_table(arguments.name, scope, call)
        return await _render_table(page, arguments, scope, call)
    return await _get_list(arguments, scope, call)


async def _read_named_table(name: str, scope: ResourceScope, call: CallContext) -> Page:
    path = scope.resource.object_path(scope.namespace, name)
    try:
        request = ApiRequest("GET", path, _table_params(scope), accept=TABLE_MEDIA_TYPE)
        response = await scope.cluster.client.send(request, call.identity)
    except ApiStatusError as error:
        raise await explain_error(error, scope, call.identity) from error
    return Page(response.json(), None, "")


async def _get_list(
    arguments: GetArguments, scope: ResourceScope, call: CallContext
) -> ToolOutput[TableResult | ObjectsResult]:
    page = await _read_page(arguments, scope, call, arguments.cursor)
    for _ in range(MAX_EMPTY_PAGES):
        if not page.cursor or not _is_empty(page.response):
            break
        page = await _read_page(arguments, scope, call, page.cursor)  # selectors may leave a page empty
    note = await require_namespace(scope, call.identity) if _is_empty(page.response) else ""
    if not _reads_objects(arguments):
        return await _render_table(page, arguments, scope, call, note)
    bodies = [_with_type(item, scope) for item in list_items(page.response)]
    if not bodies and arguments.columns:
        nothing = TableResult(kind=scope.resource.kind, columns=[], rows=[], more=page.more, cursor=page.cursor)
        return ToolOutput(_empty_text(arguments, scope, note, page), nothing)
    if not bodies:
        empty = ObjectsResult(kind=scope.resource.kind, objects=[], left_out=0, more=page.more, cursor=page.cursor)
        return ToolOutput(_empty_text(arguments, scope, note, page), empty)
    return await _render_objects(bodies, page, arguments, scope, call)


def _reads_objects(arguments: GetArguments) -> bool:
    """Return whether whole objects are read. Otherwise the API server makes the table."""
    return arguments.output == "yaml" or bool(arguments.columns)


async def _read_page(arguments: GetArguments, scope: ResourceScope, call: CallContext, cursor: str) -> Page:
    params = {
        "labelSelector": arguments.label_selector,
        "fieldSelector": arguments.field_selector,
        "limit": str(arguments.limit),
        "continue": cursor,
    }
    accept = "application/json" if _reads_objects(arguments) else TABLE_MEDIA_TYPE
    params |= {} if _reads_objects(arguments) else _table_params(scope)
    path = scope.resource.collection_path(scope.namespace)
    request = ApiRequest("GET", path, {key: value for key, value in params.items() if value}, accept=accept)
    try:
        response = (await scope.cluster.client.send(request, call.identity)).json()
    except ApiStatusError as error:
        raise await explain_error(error, scope, call.identity) from error
    more, cursor = number_at(response, "metadata", "remainingItemCount"), text_at(response, "metadata", "continue")
    return Page(response, more, cursor)


def _table_params(scope: ResourceScope) -> dict[str, str]:
    """Ask for whole pods in the rows of a table: the columns lack why a container ended."""
    return {"includeObject": "Object"} if is_pod_scope(scope) else {}


def _is_empty(response: JsonObject) -> bool:
    return not response.get("rows") and not response.get("items")


async def _render_table(
    page: Page, arguments: GetArguments, scope: ResourceScope, call: CallContext, note: str = ""
) -> ToolOutput[TableResult]:
    wide = arguments.output == "wide"
    with_namespace = scope.resource.namespaced and arguments.all_namespaces
    table = tables.parse(page.response, wide=wide, with_namespace=with_namespace)
    if not table.rows:
        return ToolOutput(_empty_text(arguments, scope, note, page), _table_result(scope, table))
    if is_pod_scope(scope):
        table = await add_pod_details(table, page.response, scope, call)
    return _fit_table(table, scope, [])


def _fit_table(table: tables.Table, scope: ResourceScope, notes: list[str]) -> ToolOutput[TableResult]:
    """Render as many rows as fit."""
    lines = tables.format_lines(table)
    shown = count_fitting_lines(lines, TEXT_BYTES)
    if shown < len(lines):
        table = tables.truncate_rows(table, max(0, shown - 1))
    left = Page({}, table.more, table.cursor).remaining_text(len(table.rows))
    left += _order_note(scope) if left else ""
    result = _table_result(scope, table, notes)
    return ToolOutput("\n".join([*notes, *lines[:shown]]) + left, result)


def _order_note(scope: ResourceScope) -> str:
    """Say that a list is not in the order of time, where that could be expected."""
    return "\n… these are the first by name; k8s_events lists the newest" if scope.resource.kind == "Event" else ""


def _table_result(scope: ResourceScope, table: tables.Table, notes: Sequence[str] = ()) -> TableResult:
    return TableResult(
        kind=scope.resource.kind,
        columns=table.columns,
        rows=table.rows,
        more=table.more,
        cursor=table.cursor,
        notes=[*notes],
    )


async def _render_objects(
    bodies: list[JsonObject], page: Page, arguments: GetArguments, scope: ResourceScope, call: CallContext
) -> ToolOutput[TableResult] | ToolOutput[ObjectsResult]:
    if not arguments.columns:
        return await _render_yaml(bodies, page, scope, call)
    columns = parse_columns(arguments.columns)
    with_namespace = scope.resource.namespaced and arguments.all_namespaces
    found = await project(bodies, columns, scope, call, with_namespace=with_namespace)
    return _fit_table(replace(found.table, more=page.more, cursor=page.cursor), scope, found.notes)


async def _render_yaml(
    bodies: list[JsonObject], page: Page, scope: ResourceScope, call: CallContext
) -> ToolOutput[ObjectsResult]:
    redactor = call.redactor()
    whole = [prune(await redact_object(body, redactor)) for body in bodies]
    pods = await summarize_bodies(bodies, scope, call) if is_pod_scope(scope) else []
    heads = [f"# {one_line(pod.line(), SUMMARY_CHARACTERS)}\n" for pod in pods]
    heads += [""] * (len(bodies) - len(heads))
    first, cuts = shrink(whole[0], TEXT_BYTES - len(heads[0].encode()))
    shown = [object_at({"first": first}, "first"), *whole[1:]]
    texts = _fit_texts([head + to_yaml(body) for head, body in zip(heads, shown, strict=True)])
    left_out = len(shown) - len(texts)
    more, cursor = ((page.more or 0) + left_out, "") if left_out else (page.more, page.cursor)
    result = ObjectsResult(
        kind=scope.resource.kind,
        objects=shown[: len(texts)],
        left_out=left_out,
        more=more,
        cursor=cursor,
        shortened=[cut.path for cut in cuts[:MAX_CUTS_NAMED]],
        pods=pods[: len(texts)],
    )
    text = "---\n".join(texts) + describe_cuts(cuts) + Page(page.response, more, cursor).remaining_text(len(texts))
    return ToolOutput(text, result)


def _with_type(item: JsonObject, scope: ResourceScope) -> JsonObject:
    """Add apiVersion and kind, which the items of a list lack."""
    return {"apiVersion": scope.resource.api_version, "kind": scope.resource.kind, **item}


def _fit_texts(texts: list[str]) -> list[str]:
    """Return as many of the texts as fit, at least the first one."""
    size = 0
    for count, text in enumerate(texts):
        size += len(text.encode())
        if size > TEXT_BYTES and count:
            return texts[:count]
    return texts


def _empty_text(arguments: GetArguments, scope: ResourceScope, note: str, page: Page) -> str:
    scope_text = f" in namespace {scope.namespace}" if scope.namespace else ""
    selected = " that match" if arguments.label_selector or arguments.field_selector else ""
    further = " more" if arguments.cursor else ""
    read = " among those that were read" if page.cursor else ""
    nothing = f"No{further} {scope.resource.plural}{selected}{scope_text} (cluster {scope.cluster.name}){read}{note}."
    return nothing + page.remaining_text()


GET = ReadTool(
    ToolInfo(
        "k8s_get",
        "Get objects",
        "Gets objects of any kind, including custom resources, as a table or YAML. `path` reads a part of one object. "
        "Secret values are masked.",
    ),
    GetArguments,
    get,
)
