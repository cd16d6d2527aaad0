"""The interface of integration providers, and limits for the metadata of all of them."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from skyflo_common.redaction import Redactor, is_secret_name
from src.api.errors import Unprocessable
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical

__all__ = ["Provider", "check_metadata", "validate"]

M = TypeVar("M", bound=BaseModel)

MAX_BYTES = 8_192
MAX_KEYS = 50
MAX_DEPTH = 4


class Provider(Protocol):
    """One kind of integration: its public metadata and its credentials. `title` is its name for people."""

    name: str
    title: str

    def metadata(self, given: JsonObject) -> JsonObject:
        """Validate metadata and return what to store. Raises `Unprocessable`."""

    def credentials(self, given: JsonObject) -> dict[str, str]:
        """Validate complete credentials and return what to store. Raises `Unprocessable`, without any value."""

    def destination(self, metadata: JsonObject) -> str:
        """Return where credentials are sent. They are never sent anywhere else."""


def validate(model: type[M], given: JsonObject, what: str) -> M:
    """Validate input. Raises `Unprocessable` with the reasons, never with the input.

    Names of unknown fields are not repeated either: one of them may be a password in the wrong place.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        errors = error.errors(include_input=False, include_url=False, include_context=False)
    known = " and ".join(model.model_fields)
    if any(error["type"] == "extra_forbidden" for error in errors):
        raise Unprocessable(f"The {what} may only contain {known}.")
    reasons = "; ".join(f"{error['loc'][0]}: {error['msg'].removeprefix('Value error, ')}" for error in errors[:3])
    raise Unprocessable(f"The {what} need {known}. Check {reasons}.")


def check_metadata(metadata: JsonObject, redactor: Redactor) -> None:
    """Raise `Unprocessable` for metadata that are too large or contain secrets."""
    _check_bounds(metadata)
    for name, value in _iterate_texts(metadata):
        if (is_secret_name(name) and value) or redactor.redact_text(value) != value:
            shown = redactor.redact_text(name)[:100]
            raise Unprocessable(f"metadata.{shown} looks like a secret. Send it under credentials, or leave it out.")


def _check_bounds(metadata: JsonObject) -> None:
    if _depth(metadata) > MAX_DEPTH:
        raise Unprocessable(f"The metadata are nested more than {MAX_DEPTH} levels deep.")
    if _count_keys(metadata) > MAX_KEYS:
        raise Unprocessable(f"The metadata have more than {MAX_KEYS} keys.")
    if len(canonical(metadata).encode()) > MAX_BYTES:
        raise Unprocessable(f"The metadata have more than {MAX_BYTES} bytes.")


def _depth(value: Json) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _count_keys(value: Json) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_count_keys, value.values()))
    return sum(map(_count_keys, value)) if isinstance(value, list) else 0


def _iterate_texts(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield each text and number with its name, and each name by itself."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield "", key
            yield from _iterate_texts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _iterate_texts(inner, name)
    elif value is not None and not isinstance(value, bool):
        yield name, str(value)
