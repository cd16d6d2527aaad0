"""Manifests given as text are masked by their meaning, in whatever way YAML allows to write them."""

import base64
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from secret_corpus import CANARY, ENCODED
from yaml_spellings import Emitter

from skyflo_common.jsontypes import Json
from skyflo_common.redaction import Redactor, contains_mask
from tests.support.examples import up_to

REDACTOR = Redactor(b"a key of the tests, 32 bytes long")

SPELLINGS = {
    "flow map": f"{{kind: Secret, stringData: {{a: {CANARY}}}}}",
    "kind last": f"stringData: {{a: {CANARY}}}\nkind: Secret",
    "comment after key": f"kind: Secret\nstringData: # why\n  a: # because\n    {CANARY}",
    "value on next line": f"kind: Secret\nstringData:\n  a:\n    {CANARY}",
    "value in the first column of its block": f"kind: Secret\nstringData:\n a:\n  {CANARY}",
    "tag": f"kind: !!str Secret\nstringData: !!map\n  a: !!str {CANARY}",
    "verbatim tag": f"kind: !<tag:yaml.org,2002:str> Secret\nstringData: {{a: {CANARY}}}",
    "own tag": f"password: !vault {CANARY}",
    "escapes in the kind": f'kind: "Se\\x63ret"\nstringData: {{a: {CANARY}}}',
    "escapes in the key": f'"p\\u0061ssword": {CANARY}',
    "escapes in the value": '"password": "c4nary\\u002dV4lue-9f3"',
    "folded quotes": 'password: "c4nary-\\\n   V4lue-9f3"',
    "explicit key": f"? kind\n: Secret\n? stringData\n: a: {CANARY}",
    "anchor and alias": f"kind: Secret\nmetadata: {{annotations: {{a: &x {CANARY}}}}}\nstringData: {{b: *x}}",
    "alias of the kind": f"metadata: {{labels: {{a: &k Secret}}}}\nkind: *k\nstringData: {{b: {CANARY}}}",
    "merge key": f"base: &b {{stringData: {{a: {CANARY}}}}}\nobject: {{<<: *b, kind: Secret}}",
    "merge key of a Secret": f"base: &b {{data: {{a: {CANARY}}}}}\nobject: {{<<: *b, kind: Secret}}",
    "merge keys of a list": f"a: &a {{kind: Secret}}\nb: &b {{data: {{x: {CANARY}}}}}\nc: {{<<: [*a, *b]}}",
    "literal block": f"kind: Secret\nstringData:\n  a: |2-\n    {CANARY}\n    {CANARY}",
    "folded block": f"kind: Secret\nstringData:\n  a: >+ # c\n    {CANARY}\n\n    {CANARY}\n",
    "many documents": f"kind: ConfigMap\n---\nkind: Secret\nstringData: {{a: {CANARY}}}\n...\n---\nkind: Pod",
    "directive": f"%YAML 1.1\n---\nkind: Secret\nstringData: {{a: {CANARY}}}",
    "windows lines": f"kind: Secret\r\nstringData:\r\n  a:\r\n    {CANARY}\r\n",
    "json": f'{{"kind": "Secret", "stringData": {{"a": "{CANARY}"}}}}',
    "json with escapes": '{"kind": "Secret", "stringData": {"a": "c4nary\\u002dV4lue-9f3"}}',
    "json inside": f'x: \'{{"kind": "Secret", "data": {{"a": "{ENCODED}"}}}}\'',
    "yaml inside": f"x: |\n  kind: Secret\n  stringData: {{a: {CANARY}}}\n",
    "binary": f"kind: Secret\ndata:\n  a: !!binary |\n    {ENCODED}\n",
    "secret in a comment": f"password: x\n# token={CANARY}\nport: 80",
    "value repeated elsewhere": f"password: {CANARY}\nnote: it is {CANARY}\n# {CANARY}",
    "list": f"- kind: Secret\n  stringData: {{a: {CANARY}}}",
    "not YAML": f"kind: Secret\n\tstringData: {{a: {CANARY}",
    "key that stands twice": f"kind: Secret\nkind: ConfigMap\ndata: {{a: {CANARY}}}\ndata: {{}}",
    "key that is a list": f"? [a]\n: {CANARY}",
    "alias without anchor": f"password: *x\na: {CANARY}",
    "alias inside its anchor": f"a: &a [*a, {CANARY}]",
    "scalar": CANARY,
}


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_is_masked(text: str) -> None:
    shown = REDACTOR.redact_manifest(text)
    assert "V4lue" not in shown
    assert ENCODED not in shown
    assert REDACTOR.redact_manifest(shown) == shown
    assert contains_mask({"manifests": shown})
    assert "V4lue" not in str(REDACTOR.redact_arguments({"manifests": text, "cluster": "x"}, ["manifests"]))


TREES: list[Any] = [
    lambda other: {"kind": "Secret", "metadata": {"name": "db"}, "stringData": {"a": CANARY, "b": other}},
    lambda other: {"data": {"a": ENCODED}, "kind": "Secret", "metadata": {"name": other}},
    lambda other: {"auth": {"password": CANARY, "username": other}, "replicas": 3},
    lambda other: {"spec": {"containers": [{"name": other, "env": [{"name": "DB_PASS", "value": CANARY}]}]}},
    lambda other: {"items": [{"kind": "ConfigMap", "data": {"apiKey": CANARY, "x": other}}, {"kind": "Secret"}]},
    lambda other: {"args": ["--token", CANARY, "--name", other]},
    lambda other: [
        {"op": "add", "path": "/data/password", "value": CANARY},
        {"op": "test", "path": "/a", "value": other},
    ],
    lambda other: {"passwords": {"alice": CANARY}, "note": [other, None, True, 1.5]},
]
OTHERS = st.sampled_from(["web", "two words", "it's", "22:30", "yes", "0x1f", "a: b", "#no", "x # y", "- z", "naïve"])


@st.composite
def manifests(draw: Any) -> str:
    makers = draw(st.lists(st.sampled_from(TREES), min_size=1, max_size=3))
    documents: list[Json] = [make(draw(OTHERS)) for make in makers]
    return Emitter(draw).stream(documents)


@pytest.mark.promise("secrets")
@settings(max_examples=up_to(400), suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(manifests())
@example(f'- op: |\n   add\n  path: "/data/password"\n  value: "{CANARY}"\n')
def test_no_way_to_write_yaml_shows_the_secret(text: str) -> None:
    assume(_is_legal(text))
    for shown in (
        REDACTOR.redact_manifest(text),
        str(REDACTOR.redact_arguments({"manifests": text}, ["manifests"])),
        str(REDACTOR.redact_arguments({"anything": text})),
        REDACTOR.redact_manifest(text.rstrip("\n"), is_secret=True),
    ):
        assert "4nary" not in shown
        assert "V4lue" not in shown
        assert base64.b64encode(CANARY.encode()).decode()[:12] not in shown
        assert "x5-V4" not in shown


def _is_legal(text: str) -> bool:
    try:
        list(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError:
        return False
    return True


def test_unchanged_manifests_keep_their_text() -> None:
    text = "# the front page\nkind: ConfigMap\ndata: {colour: blue, start: 22:30}   # as is\n"
    assert REDACTOR.redact_manifest(text) == text


def test_masked_manifests_keep_what_is_no_secret() -> None:
    text = "auth: {password: p4ssw0rd!, start: 22:30, on: off}\nimage: 'web:1'\ncode: |\n  one\n  two\n"
    masked = REDACTOR.mask("p4ssw0rd!")
    assert REDACTOR.redact_manifest(text) == (
        f"auth:\n  password: {masked}\n  start: 22:30\n  on: off\nimage: 'web:1'\ncode: |\n  one\n  two\n"
    )


@pytest.mark.promise("bounded")
@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "{a: " * 50_000, "- " * 50_000, "a: &x [x,x]\nb: &y [*x,*x]\nc: [*y,*y]\n" * 3, "x: y\n" * 200_000],
)
def test_manifests_beyond_the_bounds_are_masked_as_a_whole(text: str) -> None:
    assert REDACTOR.redact_manifest(text) == REDACTOR.mask(text)


@pytest.mark.promise("bounded")
def test_aliases_do_not_multiply() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    text = "\n".join([*lines, f"password: {CANARY}"])
    assert REDACTOR.redact_manifest(text) == REDACTOR.mask(text)


@pytest.mark.promise("secrets")
@pytest.mark.parametrize("value", ["hunter", "pw", "12345"])
def test_aliases_share_what_is_masked(value: str) -> None:
    for text in (f"a: &x {value}\npassword: *x\n", f"a: &x {{data: {{b: {value}}}}}\nc: {{<<: *x, kind: Secret}}\n"):
        assert value not in REDACTOR.redact_manifest(text)
