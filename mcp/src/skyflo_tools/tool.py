"""What a tool is: a model of its arguments and one function. Reads answer; changes only plan."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from skyflo_tools.clock import Clock
from skyflo_tools.effects import Effects
from skyflo_tools.grants.store import GrantStore
from skyflo_tools.kubernetes.client import Identity
from skyflo_tools.kubernetes.clusters import Clusters
from skyflo_tools.plan import Plan
from skyflo_tools.redaction import Fingerprints

READ_DEADLINE = 30.0
CHANGE_DEADLINE = 60.0

ClusterName = Annotated[
    str | None,
    Field(
        default=None,
        max_length=253,
        description="Cluster to use, by its name in k8s_list_clusters. Default: the current one.",
    ),
]
Namespace = Annotated[
    str | None,
    Field(
        default=None, max_length=63, description="Namespace. Default: the one of the cluster's context, else `default`."
    ),
]
Kind = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        description="Plural, singular, short name or apiVersion/Kind, such as `pods`, `deploy`, `apps/v1/Deployment`.",
    ),
]
Name = Annotated[str, Field(min_length=1, max_length=253, description="Name of the object.")]


class ToolArguments(BaseModel):
    """The base of every tool's arguments: nothing unknown is accepted, nothing is converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ClusterArguments(ToolArguments):
    """What every tool of Kubernetes takes."""

    cluster: ClusterName


class ObjectArguments(ClusterArguments):
    """One object of any kind."""

    kind: Kind
    name: Name
    namespace: Namespace


class Progress(Protocol):
    async def __call__(self, done: float, total: float | None, message: str, /) -> None: ...


@dataclass(frozen=True)
class Services:
    """What the tools share for the life of the process. Where there is a store of grants, its key for fingerprints
    takes the place of the first one before anything that lasts is made with it."""

    clusters: Clusters
    clock: Clock
    fingerprints: Fingerprints
    grants: GrantStore | None = None


@dataclass(frozen=True)
class Call:
    """One call: who is seen by Kubernetes, what the preview has pinned, what was changed so far."""

    services: Services
    identity: Identity | None
    progress: Progress
    pinned: Mapping[str, str] = field(default_factory=dict)
    effects: Effects = field(default_factory=Effects)
    secrets: list[str] = field(default_factory=list)
    """Values that this call has met and that must not be in its answer."""


@dataclass(frozen=True)
class Output:
    """An answer twice: text that reads well, and the same as data."""

    text: str
    data: BaseModel


Arguments = TypeVar("Arguments", bound=ToolArguments)


@dataclass(frozen=True)
class Description:
    """How a tool presents itself."""

    name: str
    title: str
    text: str
    tags: frozenset[str] = frozenset({"k8s"})
    deadline: float = READ_DEADLINE
    open_world: bool = True
    internal: bool = False
    """Hidden from the model: only the engine calls it."""


@dataclass(frozen=True)
class Read(Generic[Arguments]):
    """A tool that changes nothing."""

    about: Description
    arguments: type[Arguments]
    run: Callable[[Arguments, Call], Awaitable[Output]]
    read_only: bool = True


@dataclass(frozen=True)
class Change(Generic[Arguments]):
    """A tool that changes something. Preview and execution both come from `plan`."""

    about: Description
    arguments: type[Arguments]
    plan: Callable[[Arguments, Call], Awaitable[Plan]]
    destructive: bool = False
    idempotent: bool = True

    @property
    def preview_name(self) -> str:
        return f"{self.about.name}__preview"
