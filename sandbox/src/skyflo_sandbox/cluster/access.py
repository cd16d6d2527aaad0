"""What one may do here: everything that is here. There is one user, and no rules but what the sandbox has."""

from skyflo_sandbox.cluster import kinds
from skyflo_sandbox.cluster.statuses import NOT_HERE, Problem, invalid, quoted
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, object_at, text_at

__all__ = ["REVIEWS", "answered"]

USER = "sandbox"
REVIEWS = {
    ("authorization.k8s.io", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "selfsubjectrulesreviews"): "SelfSubjectRulesReview",
    ("authentication.k8s.io", "selfsubjectreviews"): "SelfSubjectReview",
}
_READS = ("get", "list", "watch")
_VERBS = (*_READS, "create", "update", "patch", "delete", "deletecollection", "*")


def answered(kind: str, group: str, body: JsonObject) -> JsonObject:
    """The review with its answer. Raises `Refused` (422) for one that asks nothing."""
    spec = object_at(body, "spec")
    if kind == "SelfSubjectAccessReview":
        status = _access(spec)
    elif kind == "SelfSubjectRulesReview":
        status = _rules()
    else:
        status = {"userInfo": {"username": USER, "groups": ["system:masters", "system:authenticated"]}}
    return {"kind": kind, "apiVersion": f"{group}/v1", "metadata": {}, "spec": spec, "status": status}


def _access(spec: JsonObject) -> JsonObject:
    wanted, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if isinstance(wanted, dict) == isinstance(path, dict):
        why = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        problem = Problem("spec.resourceAttributes", "FieldValueInvalid", f"Invalid value: {quoted(wanted)}: {why}")
        raise invalid("SelfSubjectAccessReview", "authorization.k8s.io", "", [problem])
    missing = _missing(wanted) if isinstance(wanted, dict) else ""
    return {"allowed": False, "reason": f"{missing} is {NOT_HERE}"} if missing else {"allowed": True}


def _missing(wanted: JsonObject) -> str:
    """What of the wish is not here; empty where all of it is."""
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


def _rules() -> JsonObject:
    plurals: dict[tuple[str, bool], list[JsonValue]] = {}
    for kind in kinds.ALL:
        plurals.setdefault((kind.group, kind.stored), []).append(kind.plural)
    rules: list[JsonValue] = [
        {"verbs": ["*"] if stored else [*_READS], "apiGroups": [group], "resources": found}
        for (group, stored), found in plurals.items()
    ]
    paths: JsonObject = {"verbs": ["get"], "nonResourceURLs": ["*"]}
    return {"resourceRules": rules, "nonResourceRules": [paths], "incomplete": False}
