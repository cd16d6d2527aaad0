"""Bodies of requests as JSON values: JSON, or YAML without what JSON has no word for. All of it bounded."""

import math
from typing import cast

import orjson
import yaml

from skyflo_sandbox.jsontypes import JsonValue

__all__ = ["DEPTH", "decoded", "is_deeper"]

DEPTH = 100
_YAML_BYTES = 512 * 1024
_WHOLE_NUMBERS = range(-(2**63), 2**63)


def decoded(content: bytes, media_type: str) -> JsonValue:
    """The value of a body. Raises `ValueError`, which says what is wrong with it."""
    try:
        value: JsonValue = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "yaml" not in media_type:
            raise ValueError(f"json parse error: {error}") from error
        return _yaml(content)
    if is_deeper(value, DEPTH):
        raise ValueError(f"nested more than {DEPTH} levels deep")
    return value


def is_deeper(value: JsonValue, levels: int) -> bool:
    """Whether a value is nested more deeply. Nothing real is so by far, and every walk over an object is recursive."""
    level: list[JsonValue] = [value]
    for _ in range(max(0, levels)):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _parts(each)]
        if not level:
            return False
    return True


def _parts(value: dict[str, JsonValue] | list[JsonValue]) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else value


def _yaml(content: bytes) -> JsonValue:
    if len(content) > _YAML_BYTES:
        raise ValueError(f"YAML of more than {_YAML_BYTES} bytes; send JSON")
    try:
        text = content.decode()
        _check_events(text)
        return _json(cast(object, yaml.load(text, Loader=_Loader)))  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"yaml: {line}{error.problem}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError("yaml: it is not UTF-8, or has characters that YAML has not") from error


def _check_events(text: str) -> None:
    """No aliases, which can make much out of little, and no depth."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("yaml: aliases are not taken")  # noqa: TRY004  whatever is wrong is one kind of error
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH:
            raise ValueError(f"yaml: nested more than {DEPTH} levels deep")


class _Loader(yaml.CSafeLoader):
    """Without times: to Kubernetes they are texts."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _json(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {_key(key): _json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_json(item) for item in value]
    if isinstance(value, str):
        value.encode()
        return value
    if value is None or isinstance(value, bool):
        return value
    if (isinstance(value, int) and value in _WHOLE_NUMBERS) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"yaml: {type(value).__name__} is no type of JSON, or is out of its bounds")


def _key(key: object) -> str:
    if not isinstance(key, str | int | float | bool):
        raise ValueError("yaml: keys are texts")  # noqa: TRY004
    return key if isinstance(key, str) else str(_json(key)).lower()
