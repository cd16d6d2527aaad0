"""Define a tool: an argument model and a function. A read returns output; a change returns a plan."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Protocol, TypeVar, get_args, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from skyflo_common.clock import Clock
from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, objects_at, text_at, without
from skyflo_common.redaction import Fingerprints, Redactor, find_hidden_values
from skyflo_common.tool_schemas import SHARED_ARGUMENTS
from skyflo_common.tracing import NoTracing, Tracing
from skyflo_tools.change_result import ChangeResult
from skyflo_tools.effects import EffectTracker
from skyflo_tools.grants.store import GrantStore
from skyflo_tools.helm.binary import HelmSettings
from skyflo_tools.helm.services import HelmServices
from skyflo_tools.jenkins.access import JenkinsAccess
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.plan import Plan
from skyflo_tools.prometheus.client import PrometheusClient

READ_DEADLINE = 30.0
CHANGE_DEADLINE = 60.0

ClusterName = Annotated[
    str | None,
    Field(
        default=None,
        max_length=253,
        description=SHARED_ARGUMENTS["cluster"],
    ),
]
Namespace = Annotated[
    str | None,
    Field(
        default=None,
        max_length=63,
        description=SHARED_ARGUMENTS["namespace"],
    ),
]
Kind = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description=SHARED_ARGUMENTS["kind"],
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=253, description=SHARED_ARGUMENTS["name"])]


class ToolArguments(BaseModel):
    """Base of all argument models. Rejects unknown arguments and does not convert types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClusterArguments(ToolArguments):
    """Base for tools that use a cluster."""

    cluster: ClusterName


class ObjectArguments(ClusterArguments):
    """Base for tools that use one object."""

    kind: Kind
    name: Name
    namespace: Namespace


class Progress(Protocol):
    async def __call__(self, done: float, total: float | None, message: str, /) -> None: ...


@dataclass(frozen=True)
class Services:
    """What all tools share.

    `fingerprints` starts with a random key. The dispatcher replaces it by the key of the grant store before it
    fingerprints anything that is stored.
    """

    clusters: Clusters
    clock: Clock
    fingerprints: Fingerprints
    grants: GrantStore | None = None
    helm: HelmServices = field(default_factory=lambda: HelmServices(HelmSettings()))
    jenkins: JenkinsAccess | None = None
    """The controller of the settings, for a server that no engine sends credentials to."""

    prometheus: PrometheusClient | None = None
    tracing: Tracing = field(default_factory=NoTracing)

    @property
    def unavailable_toolsets(self) -> frozenset[str]:
        """The toolsets that are not offered, because what they need is not configured."""
        return frozenset() if self.prometheus else frozenset({"prometheus"})

    async def aclose(self) -> None:
        await self.clusters.aclose()
        if self.prometheus is not None:
            await self.prometheus.aclose()
        if self.grants is not None:
            await self.grants.aclose()
        await asyncio.to_thread(self.tracing.close)


@dataclass(frozen=True)
class CallContext:
    """The context of one call: the user to impersonate, values from the approved preview, changes made so far."""

    services: Services
    identity: Identity | None
    progress: Progress
    pinned_values: Mapping[str, str] = field(default_factory=dict)
    effects: EffectTracker = field(default_factory=EffectTracker)
    secrets: list[str] = field(default_factory=list)
    """Secret values that this call has read or received; they are hidden wherever they occur in its result."""

    jenkins: JenkinsAccess | None = None
    """The controller that this call is for, if its tool uses one."""

    async def hide_values_of(self, body: JsonObject) -> None:
        """Hide in this call's whole result whatever is masked when this object is read, but not the object's name."""
        names = {text_at(body, "metadata", key) for key in ("name", "namespace")}
        self.secrets.extend(await find_hidden_values(Redactor(self.services.fingerprints.key), body) - names)

    def redactor(self) -> Redactor:
        """Return the redactor for what leaves this call, with the secret values met so far."""
        return Redactor(self.services.fingerprints.key, self.secrets)


DataT_co = TypeVar("DataT_co", bound=BaseModel, covariant=True)


@dataclass(frozen=True)
class ToolOutput(Generic[DataT_co]):
    """The output of a tool, as text and as structured content.

    A tool's function names its data in its return type, `ToolOutput[TableResult | ObjectsResult]`: that is the
    published output schema.
    """

    text: str
    data: DataT_co


ArgumentsT = TypeVar("ArgumentsT", bound=ToolArguments)


@dataclass(frozen=True)
class ToolInfo:
    """The name and description that a tool publishes."""

    name: str
    title: str
    description: str
    tags: frozenset[str] = frozenset({"k8s"})
    deadline: float = READ_DEADLINE
    open_world: bool = True
    internal: bool = False
    """Hidden from the model; only the engine calls it."""

    integration: str = ""
    """The integration whose address and credentials each call needs; the engine sends them with it."""


@dataclass(frozen=True)
class ReadTool(Generic[ArgumentsT]):
    """A tool that changes nothing in a cluster."""

    info: ToolInfo
    arguments: type[ArgumentsT]
    run: Callable[[ArgumentsT, CallContext], Awaitable[ToolOutput[BaseModel]]]
    read_only: bool = True
    bodies: tuple[str, ...] = ()
    """Arguments that are manifests, so that the engine masks secrets in them by parsing them."""

    @property
    def output(self) -> Any:
        """The type of the structured output: a model, or a union of models."""
        return output_of(self.run)


@dataclass(frozen=True)
class ChangeTool(Generic[ArgumentsT]):
    """A tool that changes objects. Preview and execution both use the plan that `plan` returns."""

    info: ToolInfo
    arguments: type[ArgumentsT]
    plan: Callable[[ArgumentsT, CallContext], Awaitable[Plan]]
    destructive: bool = False
    idempotent: bool = True
    deadline: float = CHANGE_DEADLINE
    output: type[ChangeResult] = ChangeResult
    bodies: tuple[str, ...] = ()
    """Arguments that are manifests or patches, so that the engine masks secrets in them by parsing them."""

    @property
    def preview_name(self) -> str:
        return f"{self.info.name}__preview"


def output_of(run: Callable[..., Awaitable[ToolOutput[BaseModel]]]) -> Any:
    """Return the type of the data that a tool's function declares. Raises TypeError if it declares none."""
    declared = get_args(get_type_hints(run).get("return"))
    if not declared or isinstance(declared[0], TypeVar):
        raise TypeError(f"{run} does not say which data it returns: annotate it with -> ToolOutput[Model]")
    return declared[0]


def input_schema(model: type[ToolArguments]) -> JsonObject:
    """Return the JSON Schema of a tool's arguments, without generated titles.

    It does not say that optional arguments may be null: they may be left out, and null counts as that. Models read all
    schemas with each request, and those two facts would take a fifth of them.
    """
    schema = _without_titles(model.model_json_schema())
    properties = {name: _without_obvious(_without_null(each)) for name, each in object_at(schema, "properties").items()}
    return {**schema, "properties": properties}


def _without_null(schema: JsonValue) -> JsonValue:
    """Return the schema of an argument whose default is null without null."""
    options = objects_at(schema, "anyOf")
    kept = [option for option in options if option.get("type") != "null"]
    if not isinstance(schema, dict) or schema.get("default", "") is not None or len(kept) != 1:
        return schema
    return {**kept[0], **without(schema, ("anyOf", "default"))}


def _without_obvious(schema: JsonValue) -> JsonValue:
    """Return the schema of an argument without what any reader assumes: that a text has characters, or a no."""
    if not isinstance(schema, dict):
        return schema
    has_plain_default = schema.get("default") is False or schema.get("default") == ""
    is_obvious = {"default": has_plain_default, "minLength": schema.get("minLength") == 1}
    return without(schema, [key for key, left_out in is_obvious.items() if left_out])


def output_schema(output: Any) -> JsonObject:
    """Return the JSON Schema of a tool's structured output. Its root is an object, as MCP requires."""
    schema = _without_titles(TypeAdapter(output).json_schema(mode="serialization"))
    return {"type": "object", **schema}


def _without_titles(schema: JsonObject) -> JsonObject:
    """Drop the titles that pydantic derives from names, and the root's docstring: clients get them with each list."""
    bare = _drop_titles(schema)
    if not isinstance(bare, dict):
        raise TypeError("a JSON Schema is an object")
    bare.pop("description", None)
    return bare


def _drop_titles(value: JsonValue) -> JsonValue:
    """Drop `title` where it is a keyword. A property of that name has a schema as its value, not a text."""
    if isinstance(value, list):
        return [_drop_titles(item) for item in value]
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "title" or not isinstance(item, str)}
        return {key: _drop_titles(item) for key, item in kept.items()}
    return value
