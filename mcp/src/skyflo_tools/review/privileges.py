"""Find rights over the host or the cluster that an object asks for, wherever they stand in it.

The search goes by the names of fields, so that pod templates inside of custom resources are found, too.
"""

from collections.abc import Iterator, Sequence

from skyflo_common.jsontypes import JsonObject, JsonValue, objects_at, text_at, texts_at
from skyflo_tools.kubernetes.field_paths import FieldPath, format_path, names_of_items, overlaps
from skyflo_tools.risk import Risk

_SWITCHES = {
    "privileged": "runs privileged",
    "allowPrivilegeEscalation": "may escalate its privileges",
    "hostPID": "sees all processes of the host",
    "hostIPC": "shares the host's memory segments",
    "hostNetwork": "uses the host's network",
    "hostProcess": "runs as a process of the host",
    "automountServiceAccountToken": "mounts a service-account token",
}
_TEXTS = {
    ("procMount", "Unmasked"): "sees the host's /proc unmasked",
    ("type", "Unconfined"): "switches a security profile off",
    ("type", "kubernetes.io/service-account-token"): "creates a service-account token that does not expire",
}
_ORDINARY_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip
_POWERFUL_VERBS = frozenset({"*", "escalate", "bind", "impersonate"})
_WIDE_GROUPS = frozenset({"system:masters", "system:authenticated", "system:unauthenticated", "system:serviceaccounts"})
_TOKEN = (".serviceAccountToken",)
_WIDE_ROLES = frozenset({"cluster-admin", "admin"})


def find_privileges(before: JsonObject | None, after: JsonObject, added: Sequence[FieldPath]) -> list[Risk]:
    """Return a high risk for each right that an object has after the change and did not have before.

    `added` are the fields that the request does not name: the token that every pod gets is no right that it asks for.
    """
    known = {text for _, text in _rights(before)} if before is not None else set()
    found = [
        text
        for path, text in _rights(after)
        if text not in known and not (path[-1:] == _TOKEN and overlaps(path, added))
    ]
    return [Risk(level="high", reason=text) for text in dict.fromkeys(found)]


def _rights(body: JsonObject) -> Iterator[tuple[FieldPath, str]]:
    yield from _search(body, ())
    if text_at(body, "kind") in ("RoleBinding", "ClusterRoleBinding"):
        yield from (((), text) for text in _rights_of_binding(body))


def _search(value: JsonValue, path: FieldPath) -> Iterator[tuple[FieldPath, str]]:
    if isinstance(value, dict):
        yield from ((path, text) for text in _rights_of_rule(value))
        for key, item in value.items():
            below = (*path, f".{key}")
            if found := _right(key, item):
                yield below, f"{format_path(path) or 'it'} {found}"
            if below != (".metadata", ".managedFields"):
                yield from _search(item, below)
    elif isinstance(value, list):
        names = names_of_items(value)
        for index, item in enumerate(value):
            yield from _search(item, (*path, f"@{names[index]}" if names else f"#{index}"))


def _right(key: str, value: JsonValue) -> str:
    """Describe the right that one field gives; empty if it gives none."""
    if value is True:
        return _SWITCHES.get(key, "")
    if isinstance(value, str):
        return _TEXTS.get((key, value), "")
    if isinstance(value, int):
        return f"opens port {value} of the host" if key == "hostPort" and value else ""
    if isinstance(value, dict):
        return _right_of_object(key, value)
    return "takes over traffic to external addresses" if key == "externalIPs" and value else ""


def _right_of_object(key: str, value: JsonObject) -> str:
    if key == "hostPath" and "path" in value:
        return f"mounts the host's path {text_at(value, 'path')[:200]}"
    if key == "serviceAccountToken":
        return "mounts a service-account token"
    added = _unusual_capabilities(value) if key == "capabilities" else []
    return f"adds the capabilities {', '.join(added)}" if added else ""


def _unusual_capabilities(value: JsonObject) -> list[str]:
    names = [name.upper().removeprefix("CAP_") for name in texts_at(value, "add")]
    return [name[:40] for name in names if name not in _ORDINARY_CAPABILITIES][:10]


def _rights_of_rule(rule: JsonObject) -> Iterator[str]:
    """Describe an RBAC rule that grants everything, or the right to grant more."""
    verbs = texts_at(rule, "verbs")
    resources = texts_at(rule, "resources") + texts_at(rule, "nonResourceURLs")
    if not verbs or not resources:
        return
    where = ", ".join(sorted(resources))[:200]
    if powerful := sorted(_POWERFUL_VERBS & set(verbs)):
        yield f"grants {', '.join(powerful)} on {where}"
    elif "*" in resources or "*" in texts_at(rule, "apiGroups"):
        yield f"grants {', '.join(sorted(verbs))[:200]} on every resource ({where})"


def _rights_of_binding(body: JsonObject) -> Iterator[str]:
    role = text_at(body, "roleRef", "name")
    if role in _WIDE_ROLES:
        yield f"gives the role {role} to {len(objects_at(body, 'subjects'))} subjects"
    for subject in objects_at(body, "subjects"):
        if text_at(subject, "name") in _WIDE_GROUPS | {"system:anonymous"}:
            yield f"gives the role {role} to {text_at(subject, 'name')}"
