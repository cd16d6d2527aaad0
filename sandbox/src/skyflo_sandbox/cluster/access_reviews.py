"""Answer access reviews: the only user may do everything that the sandbox supports."""

from skyflo_common.jsontypes import JsonObject, JsonValue, object_at, text_at
from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.errors import NOT_IN_SANDBOX, FieldProblem, invalid, quote

__all__ = ["REVIEWS", "answer_review"]

USER = "sandbox"
REVIEWS = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
}
_READS = ("get", "list", "watch")
_VERBS = (*_READS, "create", "update", "patch", "delete", "deletecollection", "*")


def answer_review(kind: str, group: str, body: JsonObject) -> JsonObject:
    """Return the review with its status. Raises `ApiError` (422) if it asks about nothing."""
    spec = object_at(body, "spec")
    if kind == "SelfSubjectAccessReview":
        status = _review_access(spec)
    elif kind == "SelfSubjectRulesReview":
        status = _review_rules()
    else:
        status = {"userInfo": {"username": USER, "groups": ["system:masters", "system:authenticated"]}}
    return {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {}, "spec": spec, "status": status}


def _review_access(spec: JsonObject) -> JsonObject:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(wanted, dict) == isinstance(path, dict):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problem = FieldProblem("spec.resourceAttributes", "FieldValueInvalid", f"Invalid value: {quote(wanted)}: {why}")
        raise invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [problem])
    missing = _find_missing(wanted) if isinstance(wanted, dict) else ""
    return {"allowed": False, "reason": f"{missing} is {NOT_IN_SANDBOX}"} if missing else {"allowed": True}


def _find_missing(wanted: JsonObject) -> str:
    """Name the part of the request that the sandbox does not support; empty if it supports all of it."""
    group, plural, verb = text_at(wanted, "group"), text_at(wanted, "resource"), text_at(wanted, "verb")
    name = f"{plural}.{group}" if group and group != "*" else plural
    if verb not in _VERBS:
        return f"the verb {verb}"
    if "*" in (group, plural) or (group, plural) in REVIEWS:
        return ""
    kind = next((each for each in kinds.ALL if (each.group, each.plural) == (group, plural)), None)
    if kind is None:
        return name
    subresource = text_at(wanted, "subresource")
    if subresource and subresource != "*" and subresource not in kind.subresources:
        return f"{name}/{subresource}"
    return "" if kind.stored or verb in _READS else f"{verb} of {name}"


def _review_rules() -> JsonObject:
    plurals: dict[tuple[str, bool], list[JsonValue]] = {}
    for kind in kinds.ALL:
        plurals.setdefault((kind.group, kind.stored), []).append(kind.plural)
    rules: list[JsonValue] = [
        {"verbs": ["*"] if stored else [*_READS], "apiGroups": [group], "resources": found}
        for (group, stored), found in plurals.items()
    ]
    paths: JsonObject = {"verbs": ["get"], "nonResourceURLs": ["*"]}
    return {"resourceRules": rules, "nonResourceRules": [paths], "incomplete": False}
