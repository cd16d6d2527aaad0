"""k8s_get: any kind, one object or many, as a table or as YAML."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue

from skyflo_tools.errors import BadArguments
from skyflo_tools.jsontypes import JsonObject, number_at, objects_at, text_at
from skyflo_tools.kubernetes import tables
from skyflo_tools.kubernetes.client import TABLE, Request
from skyflo_tools.kubernetes.locate import Place, fetch, place
from skyflo_tools.kubernetes.pruning import pruned
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, cut, fitting, to_yaml
from skyflo_tools.redaction import mask_object
from skyflo_tools.tool import Call, ClusterArguments, Description, Kind, Namespace, Output, Read

Selector = Annotated[str, Field(max_length=1000, pattern=r"^[\x20-\x7e]*$")]
NARROW = "narrow with namespace, label_selector or field_selector"


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
    limit: Annotated[int, Field(default=100, ge=1, le=500, description="How many objects at most.")]
    cursor: Annotated[str, Field(default="", max_length=4000, description="From a former answer: where to go on.")]


class TableResult(BaseModel):
    kind: str
    columns: list[str]
    rows: list[list[str]]
    more: int | None
    cursor: str


class ObjectsResult(BaseModel):
    kind: str
    objects: list[dict[str, JsonValue]]
    left_out: int
    more: int | None
    cursor: str


async def get(arguments: GetArguments, call: Call) -> Output:
    if arguments.name and arguments.all_namespaces:
        raise BadArguments("a name is looked up in one namespace: leave out all_namespaces")
    cluster = call.services.clusters.choose(arguments.cluster)
    where = await place(cluster, arguments.kind, arguments.namespace, everywhere=arguments.all_namespaces)
    if arguments.output == "yaml":
        return await _as_yaml(arguments, where, call)
    return await _as_table(arguments, where, call)


def _path_and_params(arguments: GetArguments, where: Place) -> tuple[str, dict[str, str]]:
    if arguments.name:
        return where.resource.item(where.namespace, arguments.name), {}
    params = {
        "labelSelector": arguments.label_selector,
        "fieldSelector": arguments.field_selector,
        "limit": str(arguments.limit),
        "continue": arguments.cursor,
    }
    return where.resource.collection(where.namespace), {key: value for key, value in params.items() if value}


async def _as_table(arguments: GetArguments, where: Place, call: Call) -> Output:
    path, params = _path_and_params(arguments, where)
    answer = (await where.cluster.client.send(Request("GET", path, params, accept=TABLE), call.identity)).json()
    wide = arguments.output == "wide"
    table = tables.parse(answer, wide=wide, with_namespace=where.resource.namespaced and arguments.all_namespaces)
    if not table.rows:
        return Output(_nothing(arguments, where), _table_result(where, table))
    lines = tables.lines(table)
    shown = fitting(lines, TEXT_BYTES)
    if shown < len(lines):
        table = tables.cut_off(table, max(0, shown - 1))
    return Output("\n".join(lines[:shown]) + _rest(table.more, table.cursor), _table_result(where, table))


def _table_result(where: Place, table: tables.Table) -> TableResult:
    kind = where.resource.kind
    return TableResult(kind=kind, columns=table.columns, rows=table.rows, more=table.more, cursor=table.cursor)


async def _as_yaml(arguments: GetArguments, where: Place, call: Call) -> Output:
    if arguments.name:
        bodies, more, cursor = [(await fetch(where, arguments.name, call.identity)).body], None, ""
    else:
        path, params = _path_and_params(arguments, where)
        answer = await where.cluster.client.get(path, call.identity, **params)
        bodies = [_typed(item, where) for item in objects_at(answer, "items")]
        more, cursor = number_at(answer, "metadata", "remainingItemCount"), text_at(answer, "metadata", "continue")
    if not bodies:
        empty = ObjectsResult(kind=where.resource.kind, objects=[], left_out=0, more=more, cursor=cursor)
        return Output(_nothing(arguments, where), empty)
    shown = [pruned(mask_object(body, call.services.fingerprints)) for body in bodies]
    texts = _fitting([to_yaml(body) for body in shown])
    left_out = len(shown) - len(texts)
    if left_out:
        more, cursor = (more or 0) + left_out, ""
    text = "---\n".join(texts)
    kept = shown[: len(texts)] if len(texts[0].encode()) < TEXT_BYTES else []
    result = ObjectsResult(kind=where.resource.kind, objects=kept, left_out=left_out, more=more, cursor=cursor)
    return Output(text + _rest(more, cursor), result)


def _typed(item: JsonObject, where: Place) -> JsonObject:
    """An item of a list with the apiVersion and kind that lists leave out."""
    return {"apiVersion": where.resource.api_version, "kind": where.resource.kind, **item}


def _fitting(texts: list[str]) -> list[str]:
    """As many whole texts as fit; a first one that is too long alone is cut."""
    kept, size = [cut(texts[0], TEXT_BYTES)], len(texts[0].encode())
    for text in texts[1:]:
        size += len(text.encode())
        if size > TEXT_BYTES:
            break
        kept.append(text)
    return kept


def _nothing(arguments: GetArguments, where: Place) -> str:
    place_text = f" in namespace {where.namespace}" if where.namespace else ""
    selected = " that match" if arguments.label_selector or arguments.field_selector else ""
    return f"No {where.resource.plural}{selected}{place_text} (cluster {where.cluster.name})."


def _rest(more: int | None, cursor: str) -> str:
    """What is missing. Where a page had to be cut, its cursor would skip what was cut, so there is none."""
    if cursor:
        return f"\n… {more if more is not None else 'some'} more, {NARROW}, or pass the cursor"
    return f"\n… {more} more, {NARROW}, or with a smaller limit" if more else ""


GET = Read(
    Description(
        "k8s_get",
        "Get objects",
        "Objects of any kind, custom ones too: a table as kubectl prints it, or YAML. Secret values are masked.",
    ),
    GetArguments,
    get,
)
