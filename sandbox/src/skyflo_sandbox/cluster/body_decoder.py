"""Decode request bodies from JSON, or from the part of YAML that JSON can express, within bounds."""

import math
from typing import cast

import orjson
import yaml

from skyflo_common.jsontypes import JsonValue

__all__ = ["MAX_DEPTH", "decode_body", "exceeds_depth"]

MAX_DEPTH = 100
_MAX_YAML_BYTES = 512 * 1024
_INT64_RANGE = range(-(2**63), 2**63)


def decode_body(content: bytes, media_type: str) -> JsonValue:
    """Decode a body. Raises `ValueError` with the reason."""
    try:
        value: JsonValue = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        if "yaml" not in media_type:
            raise ValueError(f"json parse error: {error}") from error
        return _decode_yaml(content)
    if exceeds_depth(value, MAX_DEPTH):
        raise ValueError(f"nested more than {MAX_DEPTH} levels deep")
    return value


def exceeds_depth(value: JsonValue, levels: int) -> bool:
    """Return whether a value is nested deeper than `levels`.

    Functions that walk an object are recursive; no real object comes close to the limit.
    """
    level: list[JsonValue] = [value]
    for _ in range(max(0, levels)):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _children(each)]
        if not level:
            return False
    return True


def _children(value: dict[str, JsonValue] | list[JsonValue]) -> list[JsonValue]:
    return list(value.values()) if isinstance(value, dict) else value


def _decode_yaml(content: bytes) -> JsonValue:
    if len(content) > _MAX_YAML_BYTES:
        raise ValueError(f"YAML of more than {_MAX_YAML_BYTES} bytes; send JSON")
    try:
        text = content.decode()
        _check_yaml_events(text)
        return _to_json(cast(object, yaml.load(text, Loader=_YamlLoader)))  # noqa: S506  a safe loader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"yaml: {line}{error.problem}") from error
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError("yaml: invalid UTF-8, or characters that YAML does not allow") from error


def _check_yaml_events(text: str) -> None:
    """Reject aliases, which can expand a small document into a huge one, and deep nesting."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.AliasEvent):
            raise ValueError("yaml: aliases are not supported")  # noqa: TRY004  callers handle only ValueError
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise ValueError(f"yaml: nested more than {MAX_DEPTH} levels deep")


class _YamlLoader(yaml.CSafeLoader):
    """Loader that keeps timestamps as strings, as Kubernetes does."""


_YamlLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _to_json(value: object) -> JsonValue:
    if isinstance(value, dict):
        return {_to_key(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_json(item) for item in value]
    if isinstance(value, str):
        value.encode()
        return value
    if value is None or isinstance(value, bool):
        return value
    if (isinstance(value, int) and value in _INT64_RANGE) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise ValueError(f"yaml: {type(value).__name__} is not a JSON type or is out of range")


def _to_key(key: object) -> str:
    if not isinstance(key, str | int | float | bool):
        raise ValueError("yaml: keys must be strings")  # noqa: TRY004
    return key if isinstance(key, str) else str(_to_json(key)).lower()
