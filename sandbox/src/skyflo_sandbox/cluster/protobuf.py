"""Bodies in protobuf, in which `kubectl create`, `auth` and `drain` send the few kinds that they make themselves.

Only those messages are known, by the field numbers of Kubernetes' published `generated.proto` files. A field that is
not known and says something is an error: nothing is dropped in silence.
"""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from skyflo_sandbox.jsontypes import JsonObject, JsonValue

__all__ = ["MEDIA_TYPE", "decoded_protobuf"]

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_DEEPEST = 20
_ZERO_COUNTS = ("replicas", "gracePeriodSeconds")
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True)
class _Field:
    """`type` is `string`, `bytes`, `int`, `bool`, `int or string`, `quantity`, or the name of a message."""

    name: str
    type: str = "string"
    many: bool = False
    mapping: bool = False


@dataclass(frozen=True)
class _Message:
    """Fields by number; `ignored` are those that clients fill in and servers do not read."""

    fields: Mapping[int, _Field]
    ignored: frozenset[int] = field(default_factory=frozenset)


def _message(text: str, ignored: tuple[int, ...] = ()) -> _Message:
    """`1 name, 2 replicas:int, 3 args[], 4 labels{}`."""
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


def decoded_protobuf(content: bytes, kind: str) -> JsonObject:
    """The object of a body in Kubernetes' envelope. Raises `ValueError` where not all of it is understood."""
    if not content.startswith(_MAGIC):
        raise ValueError("it does not begin as protobuf of Kubernetes does")
    if kind not in _MESSAGES:
        raise ValueError(f"a {kind} can be sent as JSON only in the sandbox")
    envelope = dict(_parts(content[len(_MAGIC) :]))
    about, raw = _as_bytes(envelope.get(1, b"")), _as_bytes(envelope.get(2, b""))
    return _object(about, "TypeMeta", 0) | _object(raw, kind, 0)


def _parts(content: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The numbers and values of a message's fields, in order."""
    at = 0
    while at < len(content):
        tag, at = _varint(content, at)
        number, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(content, at)
            yield number, value
            continue
        if wire not in (_FIXED64, _BYTES, _FIXED32):
            raise ValueError(f"protobuf: wire type {wire} is unknown")
        size, at = _varint(content, at) if wire == _BYTES else (8 if wire == _FIXED64 else 4, at)
        if at + size > len(content):
            raise ValueError("protobuf: it ends too early")
        yield number, content[at : at + size]
        at += size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(content):
            break
        byte, at = content[at], at + 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("protobuf: a number does not end")


def _object(content: bytes, message: str, depth: int) -> JsonObject:
    if depth > _DEEPEST:
        raise ValueError(f"protobuf: nested more than {_DEEPEST} levels deep")
    known, result = _MESSAGES[message], dict[str, JsonValue]()
    for number, value in _parts(content):
        if number in known.fields:
            _put(result, known.fields[number], value, depth)
        elif number not in known.ignored and value not in (b"", 0):
            raise ValueError(f"field {number} of {message} can be sent as JSON only in the sandbox")
    return result


def _put(result: JsonObject, found: _Field, value: int | bytes, depth: int) -> None:
    """Puts a value into its place. Empty texts and zeros are as good as absent, but in lists and maps."""
    if found.mapping:
        entries = result.setdefault(found.name, {})
        entry = dict(_parts(_as_bytes(value)))
        if isinstance(entries, dict):
            entries[_as_bytes(entry.get(1, b"")).decode()] = _value(found.type, entry.get(2, b""), depth)
        return
    decoded = _value(found.type, value, depth)
    if found.many:
        items = result.setdefault(found.name, [])
        if isinstance(items, list):
            items.append(decoded)
    elif decoded not in ("", None, False) or found.name in _ZERO_COUNTS:
        result[found.name] = decoded


def _value(type_: str, value: int | bytes, depth: int) -> JsonValue:
    if type_ in ("int", "bool"):
        return _number(value, boolean=type_ == "bool")
    if type_ == "string":
        return _as_bytes(value).decode()
    if type_ == "bytes":
        return b64encode(_as_bytes(value)).decode()
    if type_ == "quantity":
        return _object(_as_bytes(value), "Quantity", depth + 1).get("string", "0")
    if type_ == "int or string":
        either = _object(_as_bytes(value), "IntOrString", depth + 1)
        return either.get("strVal") if either.get("type") == 1 else either.get("intVal", 0)
    return _object(_as_bytes(value), type_, depth + 1)


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("protobuf: a field has another type")  # noqa: TRY004  garbage is one kind of error
    return value


def _number(value: int | bytes, *, boolean: bool) -> int | bool:
    if not isinstance(value, int):
        raise ValueError("protobuf: a field has another type")  # noqa: TRY004
    if boolean:
        return value != 0
    return value - 2**64 if value >= 2**63 else value
