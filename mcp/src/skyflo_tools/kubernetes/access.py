"""Asking the API server's authorizer what these credentials may do."""

from dataclasses import dataclass

from pydantic import BaseModel

from skyflo_tools.jsontypes import JsonObject, dig, text_at
from skyflo_tools.kubernetes.client import Identity, KubeClient, json_request

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class Access(BaseModel):
    """The answer; the reason is empty if it is yes."""

    allowed: bool
    reason: str


@dataclass(frozen=True)
class Verb:
    """One thing to do with one kind of object."""

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


async def review(client: KubeClient, verb: Verb, identity: Identity | None) -> Access:
    """A SelfSubjectAccessReview. It creates nothing, so it counts as a read."""
    attributes: JsonObject = {
        "verb": verb.verb,
        "group": verb.group,
        "resource": verb.resource,
        "subresource": verb.subresource,
        "namespace": verb.namespace,
        "name": verb.name,
    }
    body: JsonObject = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = (await client.send(json_request("POST", _REVIEWS, body), identity)).json()
    if dig(answer, "status", "allowed") is True:
        return Access(allowed=True, reason="")
    said = text_at(answer, "status", "reason") or "the cluster's RBAC does not grant it"
    return Access(allowed=False, reason=f"may not {verb}: {said}")
