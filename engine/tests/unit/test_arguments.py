"""Arguments against schemas, neither of which is trusted."""

import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.api.agent.arguments import ArgumentChecker, CallRejected, parse_object, unknown_tool
from src.api.schemas.base import JsonObject
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


def test_arguments_that_fit_come_back_parsed() -> None:
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
def test_what_does_not_fit_is_said_so_that_it_can_be_corrected(text: str, said: str) -> None:
    sentence = problem(text)
    assert sentence.startswith("The call was not run: its arguments don't fit `k8s_scale`.")
    assert said in sentence


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
        ('"' + "x" * 300_000 + '"', "longer than 262144"),
    ],
)
def test_what_can_not_be_carried_is_refused(text: str, said: str) -> None:
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
def test_an_unfriendly_schema_refuses_the_call_and_costs_little(schema: JsonObject) -> None:
    started = time.process_time()
    assert "came with a JSON Schema that can't be used" in problem('{"a":1}', schema)
    assert time.process_time() - started < 5


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "schema",
    [
        {"properties": {"a": {"pattern": "^(a+)+$"}}},
        {"patternProperties": {"^(a+)+$": {"type": "integer"}}, "additionalProperties": False},
        {"properties": {"a": {"pattern": "(?=lookahead)"}}},
    ],
)
def test_a_pattern_can_not_keep_the_engine_busy(schema: JsonObject) -> None:
    started = time.process_time()
    evil = "a" * 60 + "!"
    try:
        ArgumentChecker().check(Tool(schema), f'{{"a":"{evil}","{evil}":1}}')
    except CallRejected as rejected:
        assert "pattern" in rejected.problem  # noqa: PT017
    assert time.process_time() - started < 1


def test_other_drafts_are_understood() -> None:
    schema: JsonObject = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "definitions": {"n": {"type": "integer"}},
        "properties": {"a": {"$ref": "#/definitions/n"}},
    }
    assert "`a` must be integer" in problem('{"a":"1"}', schema)


def test_at_most_five_errors_are_told() -> None:
    schema: JsonObject = {"additionalProperties": {"type": "integer"}}
    text = "{" + ",".join(f'"k{n}":"x"' for n in range(500)) + "}"
    assert problem(text, schema).count("must be integer") == 5


def test_an_unknown_tool_is_answered_with_the_nearest_names() -> None:
    assert "The nearest names are: k8s_get" in unknown_tool("k8s_gett", ["k8s_get", "helm_list"])
    assert "There are: helm_list, k8s_get." in unknown_tool("zzz", ["k8s_get", "helm_list"])
    assert "No tool is available" in unknown_tool("zzz", [])
    assert len(unknown_tool("z" * 10_000, ["k8s_get"])) < 500


@given(st.text())
def test_any_text_is_an_object_or_a_sentence(text: str) -> None:
    try:
        assert isinstance(parse_object(text), dict)
    except CallRejected as rejected:
        assert rejected.problem.startswith("The call was not run")  # noqa: PT017
