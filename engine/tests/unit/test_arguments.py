"""Test the validation of arguments against schemas, both of which are untrusted."""

import json
from dataclasses import dataclass, field

import processor_time
import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.arguments import ArgumentChecker, CallRejected, parse_object, unknown_tool
from src.api.schemas.base import Json, JsonObject
from src.api.utils.canonical import canonical, sha256

SCALE: JsonObject = {
    "type": "object",
    "properties": {
        "namespace": {"type": "string", "pattern": "^[a-z-]+$", "maxLength": 63},
        "replicas": {"type": "integer", "minimum": 0},
        "mode": {"enum": ["now", "later"]},
        "target": {"anyOf": [{"type": "string"}, {"type": "object", "properties": {"uid": {"type": "string"}}}]},
    },
    "required": ["namespace", "replicas"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Tool:
    input_schema: JsonObject
    name: str = "k8s_scale"
    schema_hash: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schema_hash", sha256(canonical(self.input_schema)))


def problem(text: str, schema: JsonObject | None = None) -> str:
    with pytest.raises(CallRejected) as rejected:
        ArgumentChecker().check(Tool(schema or SCALE), text)
    return rejected.value.problem


def test_valid_arguments_are_parsed() -> None:
    value = ArgumentChecker().check(Tool(SCALE), '{"namespace":"prod","replicas":5}')
    assert value == {"namespace": "prod", "replicas": 5}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{}", "It needs `namespace`, `replicas`."),
        ('{"namespace":"a","replicas":"3"}', "`replicas` must be integer, not string."),
        ('{"namespace":"a","replicas":true}', "`replicas` must be integer, not boolean."),
        ('{"namespace":"a","replicas":-1}', "`replicas`: -1 is less than the minimum of 0."),
        ('{"namespace":"A!","replicas":1}', "`namespace`: does not match the pattern ^[a-z-]+$."),
        ('{"namespace":"a","replicas":1,"mode":"soon"}', '`mode` must be one of ["now", "later"].'),
        (
            '{"namespace":"a","replicas":1,"name":"x"}',
            "It takes no `name`; it takes `namespace`, `replicas`, `mode`, `target`.",
        ),
        ('{"namespace":"a","replicas":1,"target":{"uid":1}}', "`target.uid` must be string, not integer."),
    ],
)
def test_invalid_arguments_are_explained_for_correction(text: str, said: str) -> None:
    sentence = problem(text)
    assert sentence.startswith("The call was not run: its arguments don't fit `k8s_scale`.")
    assert said in sentence


NULLABLE: JsonObject = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "grep": {"type": "string"},
        "since": {"$ref": "#/$defs/time"},
        "mode": {"enum": ["now", "later"]},
        "limit": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
        "cluster": {"type": ["string", "null"]},
        "target": {"type": "object", "properties": {"uid": {"type": "string"}, "kind": {"type": "string"}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}}},
        "patch": {"type": "object"},
        "either": {"oneOf": [{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}]},
    },
    "$defs": {"time": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ('{"name":"a","grep":null}', '{"name":"a"}'),
        ('{"name":"a","since":null,"mode":null,"limit":null}', '{"name":"a"}'),
        ('{"name":"a","cluster":null}', '{"name":"a","cluster":null}'),
        ('{"name":"a","target":{"uid":null,"kind":"Pod"}}', '{"name":"a","target":{"kind":"Pod"}}'),
        ('{"name":"a","items":[{"n":1},{"n":null}]}', '{"name":"a","items":[{"n":1},{}]}'),
        ('{"name":"a","patch":{"spec":{"x":null}},"grep":null}', '{"name":"a","patch":{"spec":{"x":null}}}'),
        ('{"name":"a","unheard_of":null}', '{"name":"a"}'),
        ('{"name":"a","patch":null}', '{"name":"a"}'),
    ],
)
def test_null_counts_as_left_out_where_it_is_optional_and_not_allowed(sent: str, kept: str) -> None:
    assert ArgumentChecker().check(Tool(NULLABLE), sent) == parse_object(kept)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ('{"name":null}', "`name` must be string, not null."),
        ('{"name":null,"grep":null}', "`name` must be string, not null."),
        ('{"name":"a","either":{"a":null}}', "`either.a` must be string, not null"),
        ('{"name":"a","items":[null]}', "`items[0]` must be object, not null"),
    ],
)
def test_null_of_a_required_argument_is_explained(sent: str, said: str) -> None:
    sentence = problem(sent, NULLABLE)
    assert said in sentence
    assert "grep" not in sentence


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[1]", "must be one JSON object, not array"),
        ('{"a":NaN}', "NaN is not JSON"),
        ('{"a":-Infinity}', "-Infinity is not JSON"),
        ('{"a":1e999}', "too large for JSON"),
        ('{"a":' + "9" * 5000 + "}", "too many digits"),
        ('{"a":"\\u0000"}', "NUL"),
        ('{"\\u0000":1}', "NUL"),
        ('{"a":["\\ud800"]}', "surrogate"),
        ('{"a":1,"a":2}', "name `a` twice"),
        ('{"a":' * 70 + "1" + "}" * 70, "nested deeper than 64"),
        ("[" * 100_000, "nested deeper than 64"),
        ('{"a":[' + "1," * 50_000 + "1]}", "more than 10000 values"),
        ('"' + "x" * 300_000 + '"', "longer than 262144"),
    ],
)
def test_unrepresentable_arguments_are_rejected(text: str, said: str) -> None:
    assert said in problem(text, {})


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:1/schema.json"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#"},
        {"$ref": "#/$defs/missing"},
        {
            "$defs": {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(40)} | {"a40": True},
            "$ref": "#/$defs/a0",
        },
        {"type": "no such type"},
        {"properties": {"a": {"enum": ["x" * 300_000]}}},
    ],
    ids=["remote", "file", "itself", "missing", "doubling", "invalid", "huge"],
)
def test_hostile_schema_rejects_the_call_quickly(schema: JsonObject) -> None:
    with processor_time.at_most(2):
        assert "came with a JSON Schema that can't be used" in problem('{"a":1}', schema)


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}, "additionalProperties": False},
        {"properties": {"a": {"pattern": "(?=lookahead)"}}},
    ],
)
def test_slow_pattern_can_not_block_the_engine(schema: JsonObject) -> None:
    evil = "a" * 60 + "!"
    with processor_time.at_most(1):
        try:
            ArgumentChecker().check(Tool(schema), f'{{"a":"{evil}","{evil}":1}}')
        except CallRejected as rejected:
            assert "pattern" in rejected.problem  # noqa: PT017


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    ("schema", "text", "limit"),
    [
        ({}, "{" + ",".join(f'"k{n}":0' for n in range(20_000)) + ',"k19999":0}', 2),
        ({"properties": {"a": {"uniqueItems": True}}}, json.dumps({"a": [{"b": n} for n in range(4_900)]}), 2),
        ({"properties": {"a": {"items": {"anyOf": [{"type": "null"}] * 500}}}}, json.dumps({"a": [1] * 9_000}), 5),
        (
            {"properties": {"a": {"items": {"enum": [str(n) for n in range(4_000)]}}}},
            json.dumps({"a": ["x"] * 9_000}),
            2,
        ),
        ({"required": [str(n) for n in range(4_000)], "items": {}}, '{"a":1}', 2),
        ({"anyOf": [{}] * 15_000}, '{"a":1}', 2),
    ],
    ids=["repeated name", "unique objects", "alternatives", "constants", "required", "huge schema"],
)
def test_checking_arguments_takes_bounded_work(schema: JsonObject, text: str, limit: float) -> None:
    """Without a bound on steps, the alternatives take 100 s."""
    with processor_time.at_most(limit):
        try:
            ArgumentChecker().check(Tool(schema), text)
        except CallRejected as rejected:
            assert "was not run" in rejected.problem  # noqa: PT017


@pytest.mark.parametrize(
    ("items", "unique"), [([1, "1"], True), ([{"a": 1, "b": 2}, {"b": 2, "a": 1}], False), ([True, 1], True)]
)
def test_items_are_unique_by_value(items: list[Json], unique: bool) -> None:
    schema: JsonObject = {"properties": {"a": {"uniqueItems": True}}}
    text = json.dumps({"a": items})
    assert unique or "non-unique" in problem(text, schema)
    assert not unique or ArgumentChecker().check(Tool(schema), text) == {"a": items}


def test_other_schema_drafts_are_supported() -> None:
    schema: JsonObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/definitions/n"}},
    }
    assert "`a` must be integer" in problem('{"a":"1"}', schema)


def test_at_most_five_errors_are_reported() -> None:
    schema: JsonObject = {"additionalProperties": {"type": "integer"}}
    text = "{" + ",".join(f'"k{n}":"x"' for n in range(500)) + "}"
    assert problem(text, schema).count("must be integer") == 5


def test_unknown_tool_suggests_the_nearest_names() -> None:
    assert "The nearest names are: k8s_get" in unknown_tool("k8s_gett", ["k8s_get", "helm_list"])
    assert "There are: helm_list, k8s_get." in unknown_tool("zzz", ["k8s_get", "helm_list"])
    assert "No tool is available" in unknown_tool("zzz", [])
    assert len(unknown_tool("z" * 10_000, ["k8s_get"])) < 500


@given(st.text())
def test_any_text_parses_to_an_object_or_an_error_message(text: str) -> None:
    try:
        assert isinstance(parse_object(text), dict)
    except CallRejected as rejected:
        assert rejected.problem.startswith("The call was not run")  # noqa: PT017
