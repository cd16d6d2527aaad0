"""YAML is read as kubectl reads it, value for value."""

import json
import subprocess
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from kubectl_yaml import KEYS, REFUSED, SCALARS, SPECS

from skyflo_common.jsontypes import JsonValue, dig
from skyflo_tools.errors import InvalidArguments
from skyflo_tools.kubernetes.manifests import parse_manifests
from skyflo_tools.kubernetes.yaml_documents import MAX_DEPTH
from tests.support.services import Cluster

HEAD = "apiVersion: example.org/v1\nkind: Window\nmetadata: {name: a}\n"
PARTS = [
    "0",
    "1",
    "7",
    "9",
    "12",
    "_",
    ".",
    ":",
    "-",
    "+",
    "e",
    "E",
    "0x",
    "0b",
    "0o",
    "f",
    "inf",
    "nan",
    "on",
    "y",
    "T",
    "~",
]
SCALAR_TEXTS = st.lists(st.sampled_from(PARTS), min_size=1, max_size=6).map("".join)


def manifest(spec: str) -> str:
    return f"{HEAD}spec: {spec}\n"


def read_spec(spec: str) -> JsonValue:
    return parse_manifests(manifest(spec))[0]["spec"]


def is_same(one: JsonValue, other: JsonValue) -> bool:
    """Compare as JSON, in which true is no number and 1.0 is 1."""
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.promise("bound")
@pytest.mark.parametrize(("text", "expected"), SCALARS.items())
def test_scalar_has_the_value_that_kubectl_gives_it(text: str, expected: JsonValue) -> None:
    assert is_same(read_spec(f"\n  v: {text}"), {"v": expected})
    assert is_same(read_spec(f"\n- {text}"), [expected])


@pytest.mark.promise("bound")
@pytest.mark.parametrize(("text", "expected"), KEYS.items())
def test_key_has_the_name_that_kubectl_gives_it(text: str, expected: str) -> None:
    assert read_spec(f"\n  {text}: v") == {expected: "v"}


@pytest.mark.promise("bound")
@pytest.mark.parametrize(("text", "expected"), SPECS.items())
def test_structure_is_that_of_kubectl(text: str, expected: JsonValue) -> None:
    assert is_same(read_spec(text), expected)


@pytest.mark.parametrize("text", REFUSED)
def test_what_kubectl_refuses_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(InvalidArguments, match=r"line \d"):
        read_spec(text)


def run_kubectl(cluster: Cluster) -> Callable[[str], subprocess.CompletedProcess[str]]:
    if cluster.kubectl is None:
        pytest.skip("no kubectl")
    command = [cluster.kubectl, "annotate", "--local", "-f", "-", "-o", "json", "read=yes"]
    return lambda text: subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def read_with_kubectl(cluster: Cluster, specs: list[str]) -> list[JsonValue]:
    """Return what kubectl makes of several specs in one call."""
    done = run_kubectl(cluster)("---\n".join(manifest(spec) for spec in specs))
    assert done.returncode == 0, done.stderr
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(done.stdout.rstrip()):
        body, at = decoder.raw_decode(done.stdout, at)
        at += 1
        found.append(body["spec"])
    return found


@pytest.mark.promise("bound")
def test_recorded_table_is_that_of_a_real_kubectl(cluster: Cluster) -> None:
    specs = [f"\n  v: {text}" for text in SCALARS] + [f"\n  {text}: v" for text in KEYS] + list(SPECS)
    expected = [{"v": value} for value in SCALARS.values()] + [{key: "v"} for key in KEYS.values()]
    for spec, wanted, found in zip(specs, [*expected, *SPECS.values()], read_with_kubectl(cluster, specs), strict=True):
        assert json.loads(json.dumps(found), parse_int=float) == json.loads(json.dumps(wanted), parse_int=float), spec
    for spec in REFUSED:
        assert run_kubectl(cluster)(manifest(spec)).returncode != 0, spec


@pytest.mark.promise("bound")
@given(st.lists(SCALAR_TEXTS, min_size=150, max_size=150))
@settings(max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
def test_generated_scalars_and_keys_are_read_as_kubectl_reads_them(cluster: Cluster, texts: list[str]) -> None:
    specs, expected, refused = [], [], []
    for text in dict.fromkeys(texts):
        for spec in (f"\n  v: {text}", f"\n  {text}: v"):
            try:
                expected.append(read_spec(spec))
                specs.append(spec)
            except InvalidArguments:
                refused.append(spec)
    for spec, wanted, found in zip(specs, expected, read_with_kubectl(cluster, specs), strict=True):
        assert json.loads(json.dumps(found), parse_int=float) == json.loads(json.dumps(wanted), parse_int=float), spec
    for spec in refused[:5]:
        assert run_kubectl(cluster)(manifest(spec)).returncode != 0, spec


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{a: 1, a: 2}", "line 4 of the manifests: the key 'a' stands twice"),
        ("{on: 1, 'true': 2}", "the key 'true' stands twice"),
        ("[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), "levels"),
    ],
)
def test_ambiguous_and_deep_texts_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InvalidArguments, match=problem):
        read_spec(text)


@pytest.mark.promise("bounded")
def test_expanding_aliases_is_bounded() -> None:
    levels = [f"  a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(InvalidArguments, match="aliases expanded"):
        parse_manifests(f"{HEAD}spec:\n  a0: &a0 {'x' * 100}\n" + "\n".join(levels))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}}\n' * 2, ["a", "a"]),
        ("--- # first\napiVersion: v1\nkind: A\nmetadata: {name: a}\n---\n# nothing\n---\n", ["a"]),
        ("\ufeffapiVersion: v1\r\nkind: A\r\nmetadata: {name: a}\r\n", ["a"]),
        ("{apiVersion: v1, kind: A, metadata: {name: a}}", ["a"]),
    ],
)
def test_documents_are_split_as_kubectl_splits_them(text: str, names: list[str]) -> None:
    assert [dig(body, "metadata", "name") for body in parse_manifests(text)] == names


@pytest.mark.parametrize(
    ("text", "value"), [("1.0", 1), ("1e3", 1000), ("1.5", 1.5), ("12345678901234567890", 12345678901234567890.0)]
)
def test_numbers_of_json_are_those_of_kubectl(text: str, value: JsonValue) -> None:
    body = '{"apiVersion": "v1", "kind": "A", "metadata": {"name": "a"}, "spec": ' + text + "}"
    assert is_same(parse_manifests(body)[0]["spec"], value)


def test_only_lists_are_split() -> None:
    custom = "apiVersion: example.org/v1\nkind: AllowList\nmetadata: {name: a}\nitems: [{host: b}]\n"
    assert parse_manifests(custom)[0]["items"] == [{"host": "b"}]
    listed = "apiVersion: v1\nkind: ConfigMapList\nitems: [{metadata: {name: a}}, {metadata: {name: b}}]\n"
    assert [(body["kind"], dig(body, "metadata", "name")) for body in parse_manifests(listed)] == [
        ("ConfigMap", "a"),
        ("ConfigMap", "b"),
    ]
