"""The tool k8s_explain: what the fields of a kind mean, by the API server's schemas."""

from typing import Annotated

from pydantic import BaseModel, Field

from skyflo_tools.kubernetes import schema_fields
from skyflo_tools.kubernetes.rendering import TEXT_BYTES, limit_lines
from skyflo_tools.kubernetes.schema_fields import find_field
from skyflo_tools.shortening import one_line, shorten
from skyflo_tools.tool import CallContext, ClusterArguments, Kind, ReadTool, ToolInfo, ToolOutput

DESCRIPTION_CHARACTERS = 3000
FIELD_CHARACTERS = 220
MAX_FIELDS = 300


class ExplainArguments(ClusterArguments):
    kind: Kind
    path: Annotated[
        str, Field(default="", max_length=500, description="Such as `spec.template.spec.containers`; empty: the kind.")
    ]


class ExplainedField(BaseModel):
    name: str
    type: str
    required: bool
    description: str
    choices: list[str] = []
    default: str = ""


class ExplainResult(BaseModel):
    kind: str
    api_version: str
    path: str
    field: ExplainedField
    fields: list[ExplainedField]
    """The fields below it; those of its items, if it is a list."""
    left_out: int


async def explain(arguments: ExplainArguments, call: CallContext) -> ToolOutput[ExplainResult]:
    cluster = call.services.clusters.choose(arguments.cluster)
    resource = await cluster.discovery.find(arguments.kind)
    kind = await cluster.open_api.find(resource, call.identity)
    field, below = find_field(kind, resource.kind, arguments.path)
    result = ExplainResult(
        kind=resource.kind,
        api_version=resource.api_version,
        path=arguments.path,
        field=_explained(field, DESCRIPTION_CHARACTERS),
        fields=[_explained(each, FIELD_CHARACTERS) for each in below[:MAX_FIELDS]],
        left_out=max(0, len(below) - MAX_FIELDS),
    )
    return ToolOutput(_render(result), result)


def _explained(field: schema_fields.Field, characters: int) -> ExplainedField:
    text = " ".join(field.description.split())
    description = shorten(text, characters) if characters > FIELD_CHARACTERS else _begin(text, characters)
    return ExplainedField(
        name=field.name,
        type=field.type,
        required=field.required,
        description=description,
        choices=list(field.choices),
        default=field.default,
    )


def _begin(text: str, characters: int) -> str:
    """Return the first sentences that fit: a description says first what a field is."""
    if len(text) <= characters:
        return text
    end = text.rfind(". ", 0, characters)
    return text[: end + 1] if end > 0 else f"{text[: characters - 1]}…"


def _render(result: ExplainResult) -> str:
    where = f"{result.kind} ({result.api_version})" + (f", {result.path}" if result.path else "")
    lines = [f"{where}: {_facts(result.field)}"]
    lines += [result.field.description] if result.field.description else []
    lines += ["Fields:"] if result.fields else ["It has no fields of its own."]
    lines += [f"  {each.name} {_facts(each)}: {one_line(each.description, 400)}".rstrip(": ") for each in result.fields]
    lines += [f"… {result.left_out} more fields"] if result.left_out else []
    return limit_lines(lines, TEXT_BYTES, "fields", "name one by path")


def _facts(field: ExplainedField) -> str:
    parts = [f"<{field.type}>", *(["required"] if field.required else [])]
    parts += [f"one of {', '.join(field.choices)}"] if field.choices else []
    parts += [f"default {field.default}"] if field.default else []
    return ", ".join(parts)


EXPLAIN = ReadTool(
    ToolInfo(
        "k8s_explain",
        "Explain a kind",
        "Explains a kind or one of its fields by the cluster's own schema, custom resources included.",
    ),
    ExplainArguments,
    explain,
)
