"""What the engine has to know of a kind of integration, and what it takes as metadata of any."""

from collections.abc import Iterator
from typing import Protocol, TypeVar

from pydantic import BaseModel, ValidationError

from src.api.errors import Unprocessable
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical
from src.api.utils.redaction import Redactor, is_secret_name

__all__ = ["Provider", "check_metadata", "checked"]

M = TypeVar("M", bound=BaseModel)

MOST_BYTES = 8_192
MOST_KEYS = 50
DEEPEST = 4


class Provider(Protocol):
    """One kind of integration: what may be said of it to anybody, and what it signs in with."""

    name: str

    def metadata(self, given: JsonObject) -> JsonObject:
        """What to keep of the metadata. Raises `Unprocessable`."""

    def credentials(self, given: JsonObject) -> dict[str, str]:
        """What to keep of the credentials, all of them there. Raises `Unprocessable`, without any value."""

    def destination(self, metadata: JsonObject) -> str:
        """Where credentials are sent: they are for there and nowhere else."""


def checked(model: type[M], given: JsonObject, what: str) -> M:
    """The model of what was given. Raises `Unprocessable` with what is wrong, never with what was sent.

    Names of fields that it does not know are not repeated either: somebody may have put a password there.
    """
    try:
        return model.model_validate(given)
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False, include_context=False)
    known = " and ".join(model.model_fields)
    if any(fault["type"] == "extra_forbidden" for fault in faults):
        raise Unprocessable(f"The {what} take {known}, and nothing besides.")
    told = "; ".join(f"{fault['loc'][0]}: {fault['msg'].removeprefix('Value error, ')}" for fault in faults[:3])
    raise Unprocessable(f"The {what} need {known}. Check {told}.")


def check_metadata(metadata: JsonObject, redactor: Redactor) -> None:
    """Raises `Unprocessable` for metadata that are too large, or that hold what belongs to the credentials."""
    _check_bounds(metadata)
    for name, value in _texts(metadata):
        if (is_secret_name(name) and value) or redactor.redact_text(value) != value:
            shown = redactor.redact_text(name)[:100]
            raise Unprocessable(f"metadata.{shown} looks like a secret. Send it under credentials, or leave it out.")


def _check_bounds(metadata: JsonObject) -> None:
    if _depth(metadata) > DEEPEST:
        raise Unprocessable(f"The metadata are nested more than {DEEPEST} levels deep.")
    if _keys(metadata) > MOST_KEYS:
        raise Unprocessable(f"The metadata have more than {MOST_KEYS} keys.")
    if len(canonical(metadata).encode()) > MOST_BYTES:
        raise Unprocessable(f"The metadata have more than {MOST_BYTES} bytes.")


def _depth(value: Json) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + max(map(_depth, inner), default=0) if isinstance(value, dict | list) else 0


def _keys(value: Json) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_keys, value.values()))
    return sum(map(_keys, value)) if isinstance(value, list) else 0


def _texts(value: Json, name: str = "") -> Iterator[tuple[str, str]]:
    """Each text and number with the name that it stands under, and each name by itself."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield "", key
            yield from _texts(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, name)
    elif value is not None and not isinstance(value, bool):
        yield name, str(value)
