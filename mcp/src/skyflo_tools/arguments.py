"""Check the arguments of a call, whichever tool it is for."""

import re

from pydantic import ValidationError

from skyflo_common.jsontypes import JsonObject, JsonValue
from skyflo_common.redaction import Exhausted, contains_mask
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.shortening import find_left_out_mark
from skyflo_tools.tool import ArgumentsT

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def validate_arguments(model: type[ArgumentsT], tool: str, arguments: JsonObject) -> ArgumentsT:
    """Parse the arguments of a tool. Raises InvalidArguments."""
    try:
        return model.model_validate(_without_nulls(model, arguments))
    except ValidationError as error:
        problems = "; ".join(
            f"{'.'.join(str(part) for part in each['loc']) or 'arguments'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)[:5]
        )
        raise InvalidArguments(f"{tool}: {problems}", hint="see the tool's input schema") from error


def _without_nulls(model: type[ArgumentsT], arguments: JsonObject) -> JsonObject:
    """Leave out optional arguments that are null: models write null for what they do not want."""
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    return {name: value for name, value in arguments.items() if value is not None or name not in optional}


def reject_unsafe_values(value: JsonObject) -> None:
    """Refuse to write what can't be stored and what a read has masked. Raises InvalidArguments."""
    reject_invalid_text(value)
    reject_masks(value)


def reject_masks(value: JsonObject) -> None:
    """Refuse to write what a read has masked or shortened. Raises InvalidArguments that names the field."""
    if mark := find_left_out_mark(value):
        raise InvalidArguments(
            f"the arguments contain {mark}: a text that a read has shortened can't be written",
            hint="read that part in full first, or change single fields with k8s_patch",
        )
    try:
        place = contains_mask(value)
    except Exhausted as error:
        raise InvalidArguments("the arguments are too large to be checked for masked values") from error
    if place is not None:
        raise InvalidArguments(
            f"a masked value stands at {place}: masks are shown instead of secrets and can't be written",
            hint="leave the field out, change single fields with k8s_patch, or refer to a Secret by its name",
        )


def reject_invalid_text(value: JsonValue) -> None:
    """Reject NUL and lone surrogates, which can't be stored, hashed or sent everywhere. Raises InvalidArguments."""
    if isinstance(value, str):
        if "\x00" in value or _LONE_SURROGATE.search(value):
            raise InvalidArguments("the arguments contain a NUL or a lone surrogate")
    elif isinstance(value, list):
        for item in value:
            reject_invalid_text(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            reject_invalid_text(key)
            reject_invalid_text(item)
