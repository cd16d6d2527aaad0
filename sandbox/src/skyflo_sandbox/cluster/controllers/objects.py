"""Helpers to read and change objects, shared by all controllers."""

from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

import orjson

from skyflo_common.jsontypes import JsonObject, JsonValue, dig, object_at, objects_at, text_at
from skyflo_sandbox.cluster.kinds import Kind

__all__ = [
    "controller_of",
    "epoch_seconds",
    "find_condition",
    "is_deleting",
    "is_ready",
    "name_of",
    "namespace_of",
    "owned_by",
    "owner_reference",
    "parse_count",
    "random_suffix",
    "replace_condition",
    "template_hash",
    "uid_of",
    "with_metadata",
]

NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels, so that random names contain no words, and no digits that look like letters."""


def name_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "name")


def namespace_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "namespace")


def uid_of(body: JsonObject) -> str:
    return text_at(body, "metadata", "uid")


def is_deleting(body: JsonObject) -> bool:
    return bool(text_at(body, "metadata", "deletionTimestamp"))


def epoch_seconds(timestamp: str) -> float:
    """Parse a Kubernetes timestamp into seconds since the epoch; 0 for invalid text."""
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
    """Return the reference to the owning controller."""
    references = objects_at(body, "metadata", "ownerReferences")
    return next((each for each in references if each.get("controller") is True), None)


def owned_by(owner: JsonObject, candidates: Iterable[JsonObject]) -> list[JsonObject]:
    """Return the candidates whose controller is the owner."""
    uid = uid_of(owner)
    return [each for each in candidates if (found := controller_of(each)) and text_at(found, "uid") == uid]


def random_suffix(names: Random, length: int = 5) -> str:
    """Return a random suffix for a generated name."""
    return "".join(names.choice(NAME_ALPHABET) for _ in range(length))


def parse_count(text: str) -> int:
    """Parse the integer of an annotation; 0 for anything else."""
    return int(text) if text.isdecimal() and len(text) < 19 else 0


def template_hash(template: JsonObject, salt: int = 0) -> str:
    """Return a short hash of a pod template; equal templates have equal hashes."""
    value = 2166136261
    for byte in orjson.dumps([template, salt], option=orjson.OPT_SORT_KEYS):
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return "".join(NAME_ALPHABET[ord(digit) % len(NAME_ALPHABET)] for digit in str(value))


def with_metadata(body: JsonObject, **changes: JsonValue) -> JsonObject:
    """Return the object with changed metadata; None removes a member."""
    merged: JsonObject = {**object_at(body, "metadata"), **changes}
    return {**body, "metadata": {key: value for key, value in merged.items() if value is not None}}


def find_condition(body: JsonObject, type_: str) -> JsonObject | None:
    """Find a condition of the status by its type."""
    return next((each for each in objects_at(body, "status", "conditions") if each.get("type") == type_), None)


def replace_condition(conditions: list[JsonObject], new: JsonObject) -> list[JsonObject]:
    """Replace the condition of this type; the new one is last in the list."""
    return [*(each for each in conditions if each.get("type") != new.get("type")), new]


def is_ready(pod: JsonObject) -> bool:
    found = find_condition(pod, "Ready")
    return found is not None and dig(found, "status") == "True"
