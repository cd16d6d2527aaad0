"""Ask the API server what these credentials, or another subject, may do (access reviews)."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel

from skyflo_common.jsontypes import JsonObject, dig, text_at
from skyflo_tools.errors import UnreadableResponse
from skyflo_tools.kubernetes.client import Identity, KubeClient, json_request

_REVIEWS = "/apis/authorization.k8s.io/v1"
AUTHENTICATED = "system:authenticated"


class AccessDecision(BaseModel):
    """The result of an access review. `reason` is empty if access is allowed."""

    allowed: bool
    reason: str


@dataclass(frozen=True)
class Subject:
    """A user name with groups, as the API server checks them, and what it is called in texts."""

    user: str
    groups: tuple[str, ...]
    label: str

    @classmethod
    def of_user(cls, user: str, groups: Sequence[str]) -> "Subject":
        """Return a user or members of groups, who are also in the group of all authenticated users."""
        of_all = () if user == "system:anonymous" else (AUTHENTICATED,)
        names = [f"user {user}"] if user else []
        names += [f"group{'s' if len(groups) > 1 else ''} {', '.join(groups)}"] if groups else []
        return cls(user, tuple(dict.fromkeys([*groups, *of_all])), " in ".join(names))

    @classmethod
    def of_service_account(cls, namespace: str, name: str) -> "Subject":
        """Return the user name and the groups that the API server gives a service account."""
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
        return cls(f"system:serviceaccount:{namespace}:{name}", groups, f"service account {namespace}/{name}")

    def __str__(self) -> str:
        return self.label


@dataclass(frozen=True)
class AccessReview:
    """The API server's answer. `error` says what it could not evaluate: then a "no" is not certain."""

    allowed: bool
    reason: str
    error: str


@dataclass(frozen=True)
class ResourceAttributes:
    """A verb on a kind of object, as RBAC checks it."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    namespace: str = ""
    name: str = ""

    def __str__(self) -> str:
        kind = (
            self.resource
            + (f".{self.group}" if self.group else "")
            + (f"/{self.subresource}" if self.subresource else "")
        )
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {kind}" + (f" {self.name}" if self.name else "") + where


async def review_access(client: KubeClient, verb: ResourceAttributes, identity: Identity | None) -> AccessDecision:
    """Ask what the caller may do. A review creates nothing, so it counts as a read."""
    review = await send_review(client, verb, None, identity)
    if review.allowed:
        return AccessDecision(allowed=True, reason="")
    reason = review.reason or review.error or "the cluster's RBAC does not grant it"
    return AccessDecision(allowed=False, reason=f"may not {verb}: {reason}")


async def send_review(
    client: KubeClient, verb: ResourceAttributes, subject: Subject | None, identity: Identity | None
) -> AccessReview:
    """Send a SubjectAccessReview about another subject, or a SelfSubjectAccessReview about the caller."""
    attributes: JsonObject = {
        "verb": verb.verb,
        "group": verb.group,
        "resource": verb.resource,
        "subresource": verb.subresource,
        "namespace": verb.namespace,
        "name": verb.name,
    }
    spec: JsonObject = {"resourceAttributes": attributes}
    if subject is not None:
        spec |= {"user": subject.user, "groups": [*subject.groups]}
    kind = "SelfSubjectAccessReview" if subject is None else "SubjectAccessReview"
    body: JsonObject = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    response = (await client.send(json_request("POST", f"{_REVIEWS}/{kind.lower()}s", body), identity)).json()
    allowed = dig(response, "status", "allowed")
    if not isinstance(allowed, bool):
        raise UnreadableResponse(f"the API server's answer to a {kind} does not say whether it is allowed", sent=True)
    return AccessReview(
        allowed=allowed,
        reason=text_at(response, "status", "reason"),
        error=text_at(response, "status", "evaluationError"),
    )
