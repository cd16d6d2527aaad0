"""Decode the protobuf bodies that `kubectl create`, `auth` and `drain` send for a few kinds.

Messages are described by the field numbers of Kubernetes' published `generated.proto` files. An unknown field with a
value is an error, so that no data is lost silently.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from skyflo_common.jsontypes import JsonObject, JsonValue

__all__ = ["MEDIA_TYPE", "decode_protobuf"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_MAX_DEPTH = 20
_KEEP_ZERO = ("replicas", "gracePeriodSeconds")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class _Field:
    """A field. `type` is `string`, `bytes`, `int`, `bool`, `int or string`, `quantity` or a message name."""

    name: str
    type: str = "string"
    repeated: bool = False
    is_map: bool = False


@dataclass(frozen=True)
class _Message:
    """Fields by number; `ignored` are numbers that clients fill in and servers do not read."""

    fields: Mapping[int, _Field]
    ignored: frozenset[int] = field(default_factory=frozenset)


def _message(text: str, ignored: tuple[int, ...] = ()) -> _Message:
    """Parse a message description such as `1 name, 2 replicas:int, 3 args[], 4 labels{}`."""
    fields: dict[int, _Field] = {}
    for part in text.split(", "):
        number, _, named = part.partition(" ")
        name, _, type_ = named.partition(":")
        plain = name.removesuffix("[]").removesuffix("{}")
        fields[int(number)] = _Field(plain, type_ or "string", name.endswith("[]"), name.endswith("{}"))
    return _Message(MappingProxyType(fields), frozenset(ignored))


_OBJECT = "1 metadata:ObjectMeta, 2 spec:"
_MESSAGES: Mapping[str, _Message] = MappingProxyType(
    {
        "ObjectMeta": _message(
            "1 name, 2 generateName, 3 namespace, 5 uid, 6 resourceVersion, 11 labels{}, 12 annotations{}, "
            "14 finalizers[]",
            (4, 7, 8),
        ),
        "Namespace": _message(_OBJECT + "NamespaceSpec", (3,)),
        "NamespaceSpec": _message("1 finalizers[]"),
        "ConfigMap": _message("1 metadata:ObjectMeta, 2 data{}, 3 binaryData{}:bytes, 4 immutable:bool"),
        "Secret": _message("1 metadata:ObjectMeta, 2 data{}:bytes, 3 type, 4 stringData{}, 5 immutable:bool"),
        "Deployment": _message(_OBJECT + "DeploymentSpec", (3,)),
        "DeploymentSpec": _message(
            "1 replicas:int, 2 selector:LabelSelector, 3 template:PodTemplateSpec, 4 strategy:DeploymentStrategy, "
            "5 minReadySeconds:int, 6 revisionHistoryLimit:int, 7 paused:bool, 9 progressDeadlineSeconds:int"
        ),
        "DeploymentStrategy": _message("1 type, 2 rollingUpdate:RollingUpdate"),
        "RollingUpdate": _message("1 maxUnavailable:int or string, 2 maxSurge:int or string"),
        "LabelSelector": _message("1 matchLabels{}, 2 matchExpressions[]:LabelSelectorRequirement"),
        "LabelSelectorRequirement": _message("1 key, 2 operator, 3 values[]"),
        "PodTemplateSpec": _message(_OBJECT + "PodSpec"),
        "PodSpec": _message(
            "2 containers[]:Container, 3 restartPolicy, 4 terminationGracePeriodSeconds:int, 6 dnsPolicy, "
            "7 nodeSelector{}, 8 serviceAccountName, 20 initContainers[]:Container"
        ),
        "Container": _message(
            "1 name, 2 image, 3 command[], 4 args[], 5 workingDir, 6 ports[]:ContainerPort, 7 env[]:EnvVar, "
            "8 resources:ResourceRequirements, 14 imagePullPolicy"
        ),
        "ContainerPort": _message("1 name, 2 hostPort:int, 3 containerPort:int, 4 protocol, 5 hostIP"),
        "EnvVar": _message("1 name, 2 value"),
        "ResourceRequirements": _message("1 limits{}:quantity, 2 requests{}:quantity"),
        "Service": _message(_OBJECT + "ServiceSpec", (3,)),
        "ServiceSpec": _message(
            "1 ports[]:ServicePort, 2 selector{}, 3 clusterIP, 4 type, 5 externalIPs[], 7 sessionAffinity, "
            "10 externalName, 11 externalTrafficPolicy, 18 clusterIPs[]"
        ),
        "ServicePort": _message(
            "1 name, 2 protocol, 3 port:int, 4 targetPort:int or string, 5 nodePort:int, 6 appProtocol"
        ),
        "SelfSubjectAccessReview": _message(_OBJECT + "AccessReviewSpec", (3,)),
        "AccessReviewSpec": _message("1 resourceAttributes:ResourceAttributes, 2 nonResourceAttributes:PathAttributes"),
        "ResourceAttributes": _message(
            "1 namespace, 2 verb, 3 group, 4 version, 5 resource, 6 subresource, 7 name", (8, 9)
        ),
        "PathAttributes": _message("1 path, 2 verb"),
        "SelfSubjectRulesReview": _message(_OBJECT + "RulesReviewSpec", (3,)),
        "RulesReviewSpec": _message("1 namespace"),
        "SelfSubjectReview": _message("1 metadata:ObjectMeta", (2,)),
        "DeleteOptions": _message(
            "1 gracePeriodSeconds:int, 2 preconditions:Preconditions, 3 orphanDependents:bool, 4 propagationPolicy, "
            "5 dryRun[]"
        ),
        "Preconditions": _message("1 uid, 2 resourceVersion"),
        "TypeMeta": _message("1 apiVersion, 2 kind"),
        "IntOrString": _message("1 type:int, 2 intVal:int, 3 strVal"),
        "Quantity": _message("1 string"),
    }
)


def decode_protobuf(content: bytes, kind: str) -> JsonObject:
    """Decode an object from Kubernetes' protobuf envelope. Raises `ValueError` for anything unknown."""
    if not content.startswith(_MAGIC):
        raise ValueError("the body does not start with Kubernetes' protobuf prefix")
    if kind not in _MESSAGES:
        raise ValueError(f"the sandbox accepts {kind} only as JSON")
    envelope = dict(_read_fields(content[len(_MAGIC) :]))
    type_meta, raw = _as_bytes(envelope.get(1, b"")), _as_bytes(envelope.get(2, b""))
    return _decode_message(type_meta, "TypeMeta", 0) | _decode_message(raw, kind, 0)


def _read_fields(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the number and the value of each field in order."""
    offset = 0
    while offset < len(content):
        tag, offset = _read_varint(content, offset)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, offset = _read_varint(content, offset)
            yield number, value
            continue
        if wire not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"protobuf: wire type {wire} is unknown")
        size, offset = _read_varint(content, offset) if wire == _BYTES else (8 if wire == _FIXED64 else 4, offset)
        if offset + size > len(content):
            raise ValueError("protobuf: the message is truncated")
        yield number, content[offset : offset + size]
        offset += size


def _read_varint(content: bytes, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(content):
            break
        byte, offset = content[offset], offset + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise ValueError("protobuf: a varint is not terminated")


def _decode_message(content: bytes, message: str, depth: int) -> JsonObject:
    if depth > _MAX_DEPTH:
        raise ValueError(f"protobuf: nested more than {_MAX_DEPTH} levels deep")
    known, result = _MESSAGES[message], dict[str, JsonValue]()
    for number, value in _read_fields(content):
        if number in known.fields:
            _set_field(result, known.fields[number], value, depth)
        elif number not in known.ignored and value not in (b"", 0):
            raise ValueError(f"the sandbox accepts field {number} of {message} only as JSON")
    return result


def _set_field(result: JsonObject, found: _Field, value: int | bytes, depth: int) -> None:
    """Store a decoded value. Empty strings and zeros count as absent, except in lists and maps."""
    if found.is_map:
        entries = result.setdefault(found.name, {})
        entry = dict(_read_fields(_as_bytes(value)))
        if isinstance(entries, dict):
            entries[_as_bytes(entry.get(1, b"")).decode()] = _decode_value(found.type, entry.get(2, b""), depth)
        return
    decoded = _decode_value(found.type, value, depth)
    if found.repeated:
        items = result.setdefault(found.name, [])
        if isinstance(items, list):
            items.append(decoded)
    elif decoded not in ("", None, False) or found.name in _KEEP_ZERO:
        result[found.name] = decoded


def _decode_value(type_: str, value: int | bytes, depth: int) -> JsonValue:
    if type_ in ("int", "bool"):
        return _decode_number(value, boolean=type_ == "bool")
    if type_ == "string":
        return _as_bytes(value).decode()
    if type_ == "bytes":
        return b64encode(_as_bytes(value)).decode()
    if type_ == "quantity":
        return _decode_message(_as_bytes(value), "Quantity", depth + 1).get("string", "0")
    if type_ == "int or string":
        either = _decode_message(_as_bytes(value), "IntOrString", depth + 1)
        return either.get("strVal") if either.get("type") == 1 else either.get("intVal", 0)
    return _decode_message(_as_bytes(value), type_, depth + 1)


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("protobuf: a field has an unexpected type")  # noqa: TRY004  callers handle only ValueError
    return value


def _decode_number(value: int | bytes, *, boolean: bool) -> int | bool:
    if not isinstance(value, int):
        raise ValueError("protobuf: a field has an unexpected type")  # noqa: TRY004
    if boolean:
        return value != 0
    return value - 2**64 if value >= 2**63 else value
