"""What an API server says when it does not do as asked: a `Status` object, in its own words."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from skyflo_sandbox.cluster.kinds import Kind
from skyflo_sandbox.jsontypes import JsonObject, JsonValue, number_at, text_at

__all__ = [
    "MODIFIED",
    "NOT_HERE",
    "Problem",
    "Refused",
    "already_exists",
    "bad_request",
    "conflict",
    "deleted",
    "duplicate",
    "expired",
    "failure",
    "forbidden",
    "forbidden_value",
    "invalid",
    "method_not_allowed",
    "not_found",
    "not_here",
    "quoted",
    "required",
    "too_long",
    "unsupported",
    "wrong",
]

NOT_HERE = "not in the sandbox"
MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class Refused(Exception):
    """A request that is not carried out. `status` is the Status object that a client gets, `code` its HTTP code."""

    def __init__(self, status: JsonObject) -> None:
        super().__init__(text_at(status, "message"))
        self.status = status

    @property
    def code(self) -> int:
        return number_at(self.status, "code") or 500

    @property
    def reason(self) -> str:
        return text_at(self.status, "reason")


@dataclass(frozen=True)
class Problem:
    """What is wrong with one field of an object."""

    field: str
    reason: str
    message: str


def quoted(value: JsonValue) -> str:
    """A value as Go's API server writes it into a message."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def required(field: str, detail: str = "") -> Problem:
    return Problem(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def wrong(field: str, value: JsonValue, detail: str) -> Problem:
    return Problem(field, "FieldValueInvalid", f"Invalid value: {quoted(value)}: {detail}")


def unsupported(field: str, value: JsonValue, known: Sequence[str]) -> Problem:
    listed = ", ".join(quoted(each) for each in known)
    return Problem(field, "FieldValueNotSupported", f"Unsupported value: {quoted(value)}: supported values: {listed}")


def duplicate(field: str, value: JsonValue) -> Problem:
    return Problem(field, "FieldValueDuplicate", f"Duplicate value: {quoted(value)}")


def forbidden_value(field: str, detail: str) -> Problem:
    return Problem(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, most: int) -> Problem:
    return Problem(field, "FieldValueTooLong", f"Too long: may not be more than {most} bytes")


def failure(code: int, reason: str, message: str, details: JsonObject | None = None) -> Refused:
    """Any error. `details` as the API defines them: name, group, kind, causes."""
    status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    status |= {"reason": reason} if reason else {}
    status |= {"details": details} if details is not None else {}
    return Refused(status | {"code": code})


def not_found(kind: Kind, name: str) -> Refused:
    return failure(404, "NotFound", f"{kind.resource} {quoted(name)} not found", _resource(kind, name))


def already_exists(kind: Kind, name: str) -> Refused:
    return failure(409, "AlreadyExists", f"{kind.resource} {quoted(name)} already exists", _resource(kind, name))


def conflict(kind: Kind, name: str, why: str = MODIFIED) -> Refused:
    message = f"Operation cannot be fulfilled on {kind.resource} {quoted(name)}: {why}"
    return failure(409, "Conflict", message, _resource(kind, name))


def forbidden(kind: Kind, name: str, why: str) -> Refused:
    message = f"{kind.resource} {quoted(name)} is forbidden: {why}"
    return failure(403, "Forbidden", message, _resource(kind, name))


def invalid(kind: str, group: str, name: str, problems: Sequence[Problem]) -> Refused:
    """422 with one cause for each problem; `kind` may be that of options, such as `PatchOptions`."""
    texts = list(dict.fromkeys(f"{each.field}: {each.message}" for each in problems))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes: list[JsonValue] = [
        {"reason": each.reason, "message": each.message, "field": each.field} for each in problems
    ]
    details = _details(name, group, kind) | {"causes": causes}
    called = f"{kind}.{group}" if group else kind
    return failure(422, "Invalid", f"{called} {quoted(name)} is invalid: {listed}", details)


def bad_request(message: str) -> Refused:
    return failure(400, "BadRequest", message)


def expired(message: str) -> Refused:
    return failure(410, "Expired", message)


def method_not_allowed() -> Refused:
    message = "the server does not allow this method on the requested resource"
    return failure(405, "MethodNotAllowed", message, {})


def not_here(what: str, code: int = 404) -> Refused:
    """What a whole cluster may have and this one does not."""
    return failure(code, "NotFound" if code == 404 else "NotImplemented", f"{what} is {NOT_HERE}", {})


def deleted(kind: Kind, name: str, uid: str) -> JsonObject:
    """The answer to a deletion that left nothing behind."""
    details = _resource(kind, name) | {"uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _resource(kind: Kind, name: str) -> JsonObject:
    return _details(name, kind.group, kind.plural)


def _details(name: str, group: str, kind: str) -> JsonObject:
    pairs = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in pairs.items() if value}
