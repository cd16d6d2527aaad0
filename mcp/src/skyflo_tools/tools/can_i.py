"""The tool k8s_can_i: check what the caller, or another subject, may do."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from skyflo_tools.errors import ApiStatusError, InvalidArguments
from skyflo_tools.kubernetes.access import AUTHENTICATED, AccessReview, ResourceAttributes, Subject, send_review
from skyflo_tools.kubernetes.lookup import ResourceScope, require_namespace, resolve_scope
from skyflo_tools.tool import CallContext, ClusterArguments, Kind, Namespace, ReadTool, ToolInfo, ToolOutput

VerbName = Literal[
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "impersonate", "bind",
    "escalate", "approve", "use", "*",
]  # fmt: skip
GroupName = Annotated[str, Field(min_length=1, max_length=253)]


class CanIArguments(ClusterArguments):
    verb: Annotated[VerbName, Field(description="What would be done.")]
    kind: Kind
    name: Annotated[str, Field(default="", max_length=253, description="Name of one object. Without it, any object.")]
    namespace: Namespace
    all_namespaces: Annotated[bool, Field(default=False, description="Ask about all namespaces at once.")]
    subresource: Annotated[
        str, Field(default="", max_length=63, pattern="^[a-z]*$", description="Such as `log`, `exec`, `scale`.")
    ]
    user: Annotated[
        str,
        Field(default="", max_length=253, description="Ask about this user instead of the caller, with its groups."),
    ]
    groups: Annotated[
        list[GroupName], Field(default=[], max_length=50, description="Ask about members of these groups.")
    ]
    service_account: Annotated[
        str,
        Field(
            default="",
            max_length=317,
            pattern="^([a-z0-9.-]+[/:][a-z0-9.-]+)?$",
            description="Ask about this service account: `namespace/name`.",
        ),
    ]


class CanIResult(BaseModel):
    allowed: bool
    action: str
    reason: str
    subject: str = ""
    """Who was asked about; empty for the caller."""
    evaluation_error: str = ""
    """What the API server could not evaluate; a "no" is then not certain."""


async def can_i(arguments: CanIArguments, call: CallContext) -> ToolOutput[CanIResult]:
    subject = _parse_subject(arguments)
    cluster = call.services.clusters.choose(arguments.cluster)
    everywhere = arguments.all_namespaces
    scope = await resolve_scope(cluster, arguments.kind, arguments.namespace, everywhere=everywhere)
    verb = ResourceAttributes(
        verb=arguments.verb,
        group=scope.resource.group,
        resource=scope.resource.plural,
        subresource=arguments.subresource,
        namespace=scope.namespace,
        name=arguments.name,
    )
    review = await _review(scope, verb, subject, call)
    reason = review.reason or ("" if review.allowed else "the cluster's RBAC does not grant it")
    result = CanIResult(
        allowed=review.allowed,
        action=str(verb),
        reason=reason if review.allowed else f"may not {verb}: {reason}",
        subject=str(subject or ""),
        evaluation_error=review.error,
    )
    return ToolOutput(await _describe(review, verb, reason, subject, scope, call), result)


def _parse_subject(arguments: CanIArguments) -> Subject | None:
    if arguments.service_account:
        if arguments.user or arguments.groups:
            raise InvalidArguments("give either service_account, or user and groups")
        namespace, _, name = arguments.service_account.replace("/", ":").partition(":")
        return Subject.of_service_account(namespace, name)
    if not arguments.user and not arguments.groups:
        return None
    return Subject.of_user(arguments.user, arguments.groups)


async def _review(
    scope: ResourceScope, verb: ResourceAttributes, subject: Subject | None, call: CallContext
) -> AccessReview:
    try:
        return await send_review(scope.cluster.client, verb, subject, call.identity)
    except ApiStatusError as error:
        if subject is None or error.status not in (403, 404, 405):
            raise
        what = "these credentials may not ask" if error.status == 403 else "this cluster can't be asked"
        raise error.with_message(
            f"{what} about {subject}, so it is not known whether they may {verb}: {error.message}",
            hint="it needs the right to create subjectaccessreviews in authorization.k8s.io; "
            "without a subject, k8s_can_i shows what the caller may do",
        ) from error


async def _describe(
    review: AccessReview,
    verb: ResourceAttributes,
    reason: str,
    subject: Subject | None,
    scope: ResourceScope,
    call: CallContext,
) -> str:
    who = f"{subject} " if subject else ""
    where = " in all namespaces" if scope.resource.namespaced and not scope.namespace else ""
    answer = f"yes, {who}may {verb}{where}" if review.allowed else f"no, {who}may not {verb}{where}: {reason}"
    lines = [answer]
    if review.allowed and reason:
        lines.append(f"reason: {reason}")
    elif subject is not None and subject.user and subject.groups == (AUTHENTICATED,):
        lines.append("the user's groups were not given: what is granted to groups is not counted, pass them as groups")
    if review.error:
        lines.append(f"not everything could be evaluated: {review.error}")
    try:
        note = await require_namespace(scope, call.identity)
    except ApiStatusError as error:
        note = error.message  # rights may be asked about before a namespace is created
    return "\n".join(lines + ([f"note: {note.strip(' ()')}"] if note else []))


CAN_I = ReadTool(
    ToolInfo(
        "k8s_can_i",
        "Check access",
        "Asks the cluster whether the caller, or another user, group or service account, may do something, and why.",
    ),
    CanIArguments,
    can_i,
)
