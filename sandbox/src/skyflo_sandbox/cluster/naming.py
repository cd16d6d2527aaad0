"""Which names, label keys and label values Kubernetes takes, and how it words what it does not take."""

import re
from collections.abc import Iterator
from types import MappingProxyType

from skyflo_sandbox.cluster.statuses import Problem, required, too_long, wrong
from skyflo_sandbox.jsontypes import JsonObject, object_at, objects_at, text_at

__all__ = ["label_problems", "name_problems", "object_problems"]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_KEY_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_QUALIFIED})?')"
)
_SHORT_NAMES = MappingProxyType({"Namespace": 63, "Service": 63})
_ANNOTATIONS_AT_MOST = 256 * 1024


def name_problems(field: str, name: str, *, short: bool) -> list[Problem]:
    """Problems of a name: a DNS label where it is `short`, else a subdomain."""
    pattern, text, most = (_LABEL, _LABEL_TEXT, 63) if short else (_SUBDOMAIN, _SUBDOMAIN_TEXT, 253)
    found = [too_long(field, most)] if len(name) > most else []
    return found if re.fullmatch(pattern, name) else [*found, wrong(field, name, text)]


def label_problems(field: str, labels: JsonObject) -> Iterator[Problem]:
    for key, value in labels.items():
        yield from _key_problems(field, key)
        if isinstance(value, str) and len(value) > 63:
            yield too_long(field, 63)
        if isinstance(value, str) and value and not re.fullmatch(_QUALIFIED, value):
            yield wrong(field, value, _VALUE_TEXT)


def _key_problems(field: str, key: str) -> Iterator[Problem]:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield wrong(field, key, f"prefix part {_SUBDOMAIN_TEXT}")
    if len(name) > 63:
        yield wrong(field, key, "name part must be no more than 63 bytes")
    elif not re.fullmatch(_QUALIFIED, name):
        yield wrong(field, key, _KEY_TEXT)


def object_problems(kind: str, body: JsonObject) -> Iterator[Problem]:
    """What is wrong with an object's metadata."""
    name = text_at(body, "metadata", "name")
    if not name:
        yield required("metadata.name", "name or generateName is required")
    else:
        yield from name_problems("metadata.name", name, short=kind in _SHORT_NAMES)
    yield from label_problems("metadata.labels", object_at(body, "metadata", "labels"))
    annotations = object_at(body, "metadata", "annotations")
    for key in annotations:
        yield from _key_problems("metadata.annotations", key.lower())
    if sum(len(key) + len(str(value)) for key, value in annotations.items()) > _ANNOTATIONS_AT_MOST:
        yield too_long("metadata.annotations", _ANNOTATIONS_AT_MOST)
    for index, owner in enumerate(objects_at(body, "metadata", "ownerReferences")):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not text_at(owner, field):
                yield wrong(f"metadata.ownerReferences[{index}].{field}", "", f"{field} must not be empty")
