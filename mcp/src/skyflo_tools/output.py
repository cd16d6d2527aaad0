"""Redact what leaves the tool server: objects, and text whose characters every client can take."""

import re

from skyflo_common.jsontypes import JsonObject, JsonValue, text_at
from skyflo_common.redaction import Redactor, redact_large

REDACTION_SECONDS = 5.0
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
TOO_LARGE = "masked, too large to be checked"


async def redact_object(body: JsonObject, redactor: Redactor, seconds: float = REDACTION_SECONDS) -> JsonObject:
    """Return a copy of a Kubernetes object without secrets.

    Of an object that can't be checked within `seconds`, only its name is left: see `is_unchecked`.
    """
    redacted = await redact_large(redactor, body, seconds)
    if isinstance(redacted, dict):
        return redacted
    metadata: JsonObject = {key: text_at(body, "metadata", key) for key in ("name", "namespace")}
    kind: JsonObject = {key: text_at(body, key) for key in ("apiVersion", "kind")}
    return {**kind, "metadata": metadata, "content": TOO_LARGE}


def is_unchecked(body: JsonObject) -> bool:
    """Return whether `redact_object` had to leave out everything but the object's name."""
    return body.get("content") == TOO_LARGE


async def redact_output(value: JsonValue, redactor: Redactor) -> JsonValue:
    """Return a result without secrets and without characters that can't be sent."""
    return await redact_large(redactor, replace_invalid_characters(value))


def replace_invalid_characters(value: JsonValue) -> JsonValue:
    """Replace NUL and lone surrogates, which can't be stored or sent everywhere, by U+FFFD."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("\ufffd", value)
    if isinstance(value, list):
        return [replace_invalid_characters(item) for item in value]
    if isinstance(value, dict):
        return {str(replace_invalid_characters(key)): replace_invalid_characters(item) for key, item in value.items()}
    return value
