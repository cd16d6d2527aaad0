"""k8s_can_i: whether something would be allowed."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.kubernetes.access import Verb, review
from skyflo_tools.kubernetes.locate import place
from skyflo_tools.tool import Call, ClusterArguments, Description, Kind, Namespace, Output, Read

Verbs = Literal["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "*"]


class CanIArguments(ClusterArguments):
    verb: Annotated[Verbs, Field(description="What would be done.")]
    kind: Kind
    name: Annotated[str, Field(default="", max_length=253, description="One object; without it, any.")]
    namespace: Namespace
    subresource: Annotated[
        str, Field(default="", max_length=63, pattern="^[a-z]*$", description="Such as `log`, `exec`, `scale`.")
    ]


class CanIResult(BaseModel):
    allowed: bool
    action: str
    reason: str


async def can_i(arguments: CanIArguments, call: Call) -> Output:
    cluster = call.services.clusters.choose(arguments.cluster)
    where = await place(cluster, arguments.kind, arguments.namespace)
    verb = Verb(
        verb=arguments.verb,
        group=where.resource.group,
        resource=where.resource.plural,
        subresource=arguments.subresource,
        namespace=where.namespace,
        name=arguments.name,
    )
    answer = await review(cluster.client, verb, call.identity)
    text = f"yes, may {verb}" if answer.allowed else f"no, {answer.reason}"
    return Output(text, CanIResult(allowed=answer.allowed, action=str(verb), reason=answer.reason))


CAN_I = Read(
    Description("k8s_can_i", "May I?", "Whether the credentials in use may do something, by the cluster's own answer."),
    CanIArguments,
    can_i,
)
