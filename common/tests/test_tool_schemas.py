"""Schemas for a language model lose their size bounds, and nothing that says what an argument is."""

import pytest

from skyflo_common.jsontypes import JsonObject
from skyflo_common.tool_schemas import shorten_schema

TEXT: JsonObject = {"type": "string"}


@pytest.mark.parametrize(
    ("schema", "shortened"),
    [
        ({"type": "string", "minLength": 1, "maxLength": 9, "pattern": "^a"}, {"type": "string", "pattern": "^a"}),
        ({"type": "integer", "minimum": 0, "maximum": 9}, {"type": "integer", "maximum": 9}),
        ({"type": "integer", "minimum": 5}, {"type": "integer", "minimum": 5}),
        ({"type": "array", "items": {**TEXT, "maxLength": 9}, "maxItems": 3}, {"type": "array", "items": TEXT}),
        ({"additionalProperties": False, "title": "A"}, {}),
        ({"additionalProperties": {**TEXT, "maxLength": 9}}, {"additionalProperties": TEXT}),
        ({**TEXT, "pattern": "^a", "description": "Such as `a`."}, {**TEXT, "description": "Such as `a`."}),
        (
            {"properties": {"cluster": {**TEXT, "description": "Default: the current."}}},
            {"properties": {"cluster": TEXT}},
        ),
        ({"default": [], "type": "array"}, {"type": "array"}),
        ({"propertyNames": {"maxLength": 9}}, {}),
        ({"propertyNames": {"enum": ["a"]}}, {"propertyNames": {"enum": ["a"]}}),
        ({"anyOf": [{**TEXT, "minLength": 1}, {"type": "null"}]}, {"anyOf": [TEXT, {"type": "null"}]}),
        ({"$defs": {"minimum": {**TEXT, "title": "A"}}}, {"$defs": {"minimum": TEXT}}),
    ],
)
def test_size_bounds_and_obvious_words_are_left_out(schema: JsonObject, shortened: JsonObject) -> None:
    assert shorten_schema(schema) == shortened


def test_arguments_and_values_that_are_named_like_keywords_stay() -> None:
    schema: JsonObject = {
        "properties": {
            "cluster": {**TEXT, "description": "Another."},
            "maxLength": TEXT,
            "title": TEXT,
            "minimum": TEXT,
            "default": {**TEXT, "default": "title"},
        },
        "required": ["maxLength", "title"],
        "examples": [{"title": "A", "maxLength": 1}],
        "default": {"title": "A", "additionalProperties": False},
        "enum": [{"minLength": 1}],
        "const": {"minimum": 0},
    }
    assert shorten_schema(schema) == schema
