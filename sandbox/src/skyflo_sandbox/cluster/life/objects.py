"""Small questions about objects that every controller asks, and small changes that it makes."""

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

import orjson

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, text_at

__all__ = [
    "condition",
    "controller_of",
    "deleting",
    "epoch",
    "is_ready",
    "name_of",
    "namespace_of",
    "owned_by",
    "owner_reference",
    "suffix",
    "template_hash",
    "uid_of",
    "whole",
    "with_condition",
    "with_metadata",
]

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, no digits that look like letters: names that say nothing by accident."""


def name_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "name")


def namespace_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "namespace")


def uid_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "uid")


def deleting(body: JsonObject) -> bool:
    return bool(text_at(body, "metadata", "deletionTimestamp"))


def epoch(timestamp: str) -> float:
    """Seconds since the epoch of Kubernetes' spelling; 0 for what is no time."""
    try:
        return datetime.fromisoformat(timestamp).astimezone(UTC).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def owner_reference(kind: Kind, owner: JsonObject) -> JsonObject:
    return {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": name_of(owner),
        "uid": uid_of(owner),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(body: JsonObject) -> JsonObject | None:
    """The reference to the controller that an object belongs to."""
    references = objects_at(body, "metadata", "ownerReferences")
    return next((each for each in references if each.get("controller") is True), None)


def owned_by(owner: JsonObject, candidates: Iterable[JsonObject]) -> list[JsonObject]:
    """Those whose controller is the owner."""
    uid = uid_of(owner)
    return [each for each in candidates if (found := controller_of(each)) and text_at(found, "uid") == uid]


def suffix(names: Random, length: int = 5) -> str:
    """The random end of a generated name."""
    return "".join(names.choice(ALPHABET) for _ in range(length))


def whole(text: str) -> int:
    """The whole number that an annotation holds; 0 for anything else."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def template_hash(template: JsonObject, salt: int = 0) -> str:
    """A short name for a pod template: the same for equal ones."""
    value = 2166136261
    for byte in orjson.dumps([template, salt], option=orjson.OPT_SORT_KEYS):
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(ALPHABET[ord(digit) % len(ALPHABET)] for digit in str(value))


def with_metadata(body: JsonObject, **changes: JsonValue) -> JsonObject:
    """The object with some members of its metadata replaced; None takes one out."""
    merged: JsonObject = {**object_at(body, "metadata"), **changes}
    return {**body, "metadata": {key: value for key, value in merged.items() if value is not None}}


def condition(body: JsonObject, type_: str) -> JsonObject | None:
    """A condition of the status."""
    return next((each for each in objects_at(body, "status", "conditions") if each.get("type") == type_), None)


def with_condition(conditions: list[JsonObject], new: JsonObject) -> list[JsonObject]:
    """The list without the condition of this type, and the new one at its end."""
    return [*(each for each in conditions if each.get("type") != new.get("type")), new]


def is_ready(pod: JsonObject) -> bool:
    found = condition(pod, "Ready")
    return found is not None and dig(found, "status") == "True"
