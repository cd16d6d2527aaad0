"""Validate names, labels and annotations, with Kubernetes' own messages."""

import re
from collections.abc import Iterator
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, object_at, objects_at, text_at
from skyflo_sandbox.cluster.errors import FieldProblem, invalid_value, required_value, too_long

__all__ = ["label_problems", "metadata_problems", "name_problems"]

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_RULE = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    f"an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
)
_SUBDOMAIN_RULE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    f"end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    f"character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
)
_VALUE_RULE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    f"'({_QUALIFIED})?')"
)
_LABEL_NAMED_KINDS = MappingProxyType({"Namespace": 63, "Service": 63})
_MAX_ANNOTATION_BYTES = 256 * 1024


def name_problems(field: str, name: str, *, is_label: bool) -> list[FieldProblem]:
    """Validate a name as a DNS label if `is_label` is set, otherwise as a DNS subdomain."""
    pattern, text, limit = (_LABEL, _LABEL_RULE, 63) if is_label else (_SUBDOMAIN, _SUBDOMAIN_RULE, 253)
    found = [too_long(field, limit)] if len(name) > limit else []
    return found if re.fullmatch(pattern, name) else [*found, invalid_value(field, name, text)]


def label_problems(field: str, labels: JsonObject) -> Iterator[FieldProblem]:
    for key, value in labels.items():
        yield from _key_problems(field, key)
        if isinstance(value, str) and len(value) > 63:
            yield too_long(field, 63)
        if isinstance(value, str) and value and not re.fullmatch(_QUALIFIED, value):
            yield invalid_value(field, value, _VALUE_RULE)


def _key_problems(field: str, key: str) -> Iterator[FieldProblem]:
    prefix, slash, name = key.rpartition("/")
    if slash and not re.fullmatch(_SUBDOMAIN, prefix):
        yield invalid_value(field, key, f"prefix part {_SUBDOMAIN_RULE}")
    if len(name) > 63:
        yield invalid_value(field, key, "name part must be no more than 63 bytes")
    elif not re.fullmatch(_QUALIFIED, name):
        yield invalid_value(field, key, _KEY_RULE)


def metadata_problems(kind: str, body: JsonObject) -> Iterator[FieldProblem]:
    """Validate an object's metadata."""
    name = text_at(body, "metadata", "name")
    if not name:
        yield required_value("metadata.name", "name or generateName is required")
    else:
        yield from name_problems("metadata.name", name, is_label=kind in _LABEL_NAMED_KINDS)
    yield from label_problems("metadata.labels", object_at(body, "metadata", "labels"))
    annotations = object_at(body, "metadata", "annotations")
    for key in annotations:
        yield from _key_problems("metadata.annotations", key.lower())
    if sum(len(key) + len(str(value)) for key, value in annotations.items()) > _MAX_ANNOTATION_BYTES:
        yield too_long("metadata.annotations", _MAX_ANNOTATION_BYTES)
    for index, owner in enumerate(objects_at(body, "metadata", "ownerReferences")):
        for field in ("apiVersion", "kind", "name", "uid"):
            if not text_at(owner, field):
                yield invalid_value(f"metadata.ownerReferences[{index}].{field}", "", f"{field} must not be empty")
