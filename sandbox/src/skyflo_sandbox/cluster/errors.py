"""API errors as `Status` objects, with the API server's own wording."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject, JsonValue, number_at, text_at
from skyflo_sandbox.cluster.kinds import Kind

__all__ = [
    "NOT_IN_SANDBOX",
    "OBJECT_MODIFIED",
    "ApiError",
    "FieldProblem",
    "already_exists",
    "api_error",
    "bad_request",
    "conflict",
    "deletion_status",
    "duplicate_value",
    "expired",
    "forbidden",
    "forbidden_value",
    "invalid",
    "invalid_value",
    "method_not_allowed",
    "not_found",
    "not_in_sandbox",
    "quote",
    "required_value",
    "too_long",
    "unsupported_value",
]

NOT_IN_SANDBOX = "not in the sandbox"
OBJECT_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


class ApiError(Exception):
    """A rejected request. `status` is the Status object for the client, `code` its HTTP status code."""

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
class FieldProblem:
    """One invalid field of an object."""

    field: str
    reason: str
    message: str


def quote(value: JsonValue) -> str:
    """Format a value as Go's API server writes it into messages."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)


def required_value(field: str, detail: str = "") -> FieldProblem:
    return FieldProblem(field, "FieldValueRequired", f"Required value: {detail}" if detail else "Required value")


def invalid_value(field: str, value: JsonValue, detail: str) -> FieldProblem:
    return FieldProblem(field, "FieldValueInvalid", f"Invalid value: {quote(value)}: {detail}")


def unsupported_value(field: str, value: JsonValue, known: Sequence[str]) -> FieldProblem:
    listed = ", ".join(quote(each) for each in known)
    return FieldProblem(
        field, "FieldValueNotSupported", f"Unsupported value: {quote(value)}: supported values: {listed}"
    )


def duplicate_value(field: str, value: JsonValue) -> FieldProblem:
    return FieldProblem(field, "FieldValueDuplicate", f"Duplicate value: {quote(value)}")


def forbidden_value(field: str, detail: str) -> FieldProblem:
    return FieldProblem(field, "FieldValueForbidden", f"Forbidden: {detail}")


def too_long(field: str, limit: int) -> FieldProblem:
    return FieldProblem(field, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")


def api_error(code: int, reason: str, message: str, details: JsonObject | None = None) -> ApiError:
    """Build any error. `details` follows the API: name, group, kind, causes."""
    status: JsonObject = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    status |= {"reason": reason} if reason else {}
    status |= {"details": details} if details is not None else {}
    return ApiError(status | {"code": code})


def not_found(kind: Kind, name: str) -> ApiError:
    return api_error(404, "NotFound", f"{kind.resource} {quote(name)} not found", _resource(kind, name))


def already_exists(kind: Kind, name: str) -> ApiError:
    return api_error(409, "AlreadyExists", f"{kind.resource} {quote(name)} already exists", _resource(kind, name))


def conflict(kind: Kind, name: str, detail: str = OBJECT_MODIFIED) -> ApiError:
    message = f"Operation cannot be fulfilled on {kind.resource} {quote(name)}: {detail}"
    return api_error(409, "Conflict", message, _resource(kind, name))


def forbidden(kind: Kind, name: str, detail: str) -> ApiError:
    message = f"{kind.resource} {quote(name)} is forbidden: {detail}"
    return api_error(403, "Forbidden", message, _resource(kind, name))


def invalid(kind: str, group: str, name: str, problems: Sequence[FieldProblem]) -> ApiError:
    """Build a 422 with one cause for each problem; `kind` may also name options, such as `PatchOptions`."""
    texts = list(dict.fromkeys(f"{each.field}: {each.message}" for each in problems))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    causes: list[JsonValue] = [
        {"reason": each.reason, "message": each.message, "field": each.field} for each in problems
    ]
    details = _details(name, group, kind) | {"causes": causes}
    qualified_kind = f"{kind}.{group}" if group else kind
    return api_error(422, "Invalid", f"{qualified_kind} {quote(name)} is invalid: {listed}", details)


def bad_request(message: str) -> ApiError:
    return api_error(400, "BadRequest", message)


def expired(message: str) -> ApiError:
    return api_error(410, "Expired", message)


def method_not_allowed() -> ApiError:
    message = "the server does not allow this method on the requested resource"
    return api_error(405, "MethodNotAllowed", message, {})


def not_in_sandbox(subject: str, code: int = 404) -> ApiError:
    """Build the error for a feature that real clusters may have and the sandbox lacks."""
    return api_error(code, "NotFound" if code == 404 else "NotImplemented", f"{subject} is {NOT_IN_SANDBOX}", {})


def deletion_status(kind: Kind, name: str, uid: str) -> JsonObject:
    """Build the success Status of a deletion that removed the object."""
    details = _resource(kind, name) | {"uid": uid}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def _resource(kind: Kind, name: str) -> JsonObject:
    return _details(name, kind.group, kind.plural)


def _details(name: str, group: str, kind: str) -> JsonObject:
    pairs = {"name": name, "group": group, "kind": kind}
    return {key: value for key, value in pairs.items() if value}
