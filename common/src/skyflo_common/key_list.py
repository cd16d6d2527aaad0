"""Read a setting that holds one key, or several while a key is replaced."""

from typing import Annotated

from pydantic import BeforeValidator, Field, SecretStr

__all__ = ["MAX_KEYS", "KeyList", "key_values"]

MAX_KEYS = 5


def _split_keys(value: object) -> object:
    """Split `new,old` at the commas. Blanks around a key and empty parts don't count; None is no key."""
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if not isinstance(value, str):
        return value or ()
    return tuple(key for key in (part.strip() for part in value.split(",")) if key)


KeyList = Annotated[tuple[SecretStr, ...], BeforeValidator(_split_keys), Field(max_length=MAX_KEYS)]
"""Keys separated by commas: the first one signs, each one is accepted."""


def key_values(keys: tuple[SecretStr, ...]) -> tuple[str, ...]:
    return tuple(key.get_secret_value() for key in keys)
