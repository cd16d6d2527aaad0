"""Bodies of requests: JSON, YAML and protobuf, and what is wrong with them."""

import pytest

from skyflo_sandbox.cluster.decoding import decoded
from skyflo_sandbox.cluster.kinds import DEPLOYMENT, POD
from skyflo_sandbox.cluster.protobuf import decoded_protobuf
from skyflo_sandbox.cluster.quantities import amount, shortest
from skyflo_sandbox.cluster.shapes import known_only, mismatch
from skyflo_sandbox.jsontypes import JsonObject


def test_yaml_has_the_types_of_json() -> None:
    text = b"a: 2020-01-01\nb: 1\nc: [x, 'y']\nd: ~\n1: e\n"
    assert decoded(text, "application/yaml") == {"a": "2020-01-01", "b": 1, "c": ["x", "y"], "d": None, "1": "e"}


@pytest.mark.parametrize(
    "content",
    [
        b"a: &x [1]\nb: *x\n",
        b"a: .nan\n",
        b"a: 99999999999999999999999\n",
        b"a: !!python/object:os.system {}\n",
        b"{" * 500,
        b"- " * 500,
        b"? [a]\n: b\n",
        b"a: 1\n---\nb: 1\n",
        b"\xff\xfe\xfd",
        b"a: b: c",
        b"x" * 600_000,
    ],
)
def test_yaml_that_means_no_good_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decoded(content, "application/apply-patch+yaml")


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 2000, b'{"a":' * 200 + b"1" + b"}" * 200, b"\xff", b"NaN"])
def test_json_that_is_garbled_or_deep_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decoded(content, "application/json")


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def enveloped(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind)) + field(2, raw)


def test_protobuf_is_read_as_kubectl_sends_it() -> None:
    metadata = field(1, b"settings") + field(11, field(1, b"app") + field(2, b"web")) + field(8, b"")
    raw = field(1, metadata) + field(2, field(1, b"a") + field(2, b"1"))
    assert decoded_protobuf(enveloped(b"ConfigMap", raw), "ConfigMap") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"app": "web"}},
        "data": {"a": "1"},
    }


@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        (b"{}", "ConfigMap", "does not begin"),
        (enveloped(b"Job", b""), "Job", "as JSON only"),
        (enveloped(b"ConfigMap", field(9, b"x")), "ConfigMap", "field 9 of ConfigMap"),
        (enveloped(b"ConfigMap", b"\x0a\x7f"), "ConfigMap", "ends too early"),
        (enveloped(b"ConfigMap", b"\xff" * 12), "ConfigMap", "does not end"),
        (enveloped(b"ConfigMap", b"\x08\x01"), "ConfigMap", "another type"),
        (enveloped(b"ConfigMap", b"\x0b"), "ConfigMap", "wire type 3"),
    ],
)
def test_protobuf_that_is_not_understood_is_refused(content: bytes, kind: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decoded_protobuf(content, kind)


def test_a_value_of_a_wrong_type_is_named_as_go_names_it() -> None:
    container: JsonObject = {"name": "app", "env": [{"name": "A", "value": 1}]}
    body: JsonObject = {"spec": {"template": {"spec": {"containers": [container]}}}}
    path = "EnvVar.spec.template.spec.containers.env.value"
    assert mismatch(DEPLOYMENT, body) == f"json: cannot unmarshal number into Go struct field {path} of type string"
    assert mismatch(DEPLOYMENT, {"spec": {"replicas": 2**40}}) != ""
    assert mismatch(DEPLOYMENT, {"spec": {"replicas": None}}) == ""


def test_unknown_fields_are_taken_out_and_told_by_their_path() -> None:
    body: JsonObject = {"spec": {"containers": [{"name": "app", "imagee": "x"}], "affinity": {"any": 1}}, "extra": 1}
    kept, unknown = known_only(POD, body)
    assert kept == {"spec": {"containers": [{"name": "app"}], "affinity": {"any": 1}}}
    assert unknown == ["spec.containers[0].imagee", "extra"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1024Mi", "1Gi"),
        ("0.5Gi", "512Mi"),
        ("1500Mi", "1500Mi"),
        ("0", "0"),
        ("1e3", "1e3"),
        ("100", "100"),
        ("2000", "2k"),
        ("-1.5", "-1500m"),
        ("512", "512"),
        ("much", "much"),
    ],
)
def test_quantities_are_kept_in_their_shortest_form(given: str, kept: str) -> None:
    assert shortest(given) == kept
    assert amount(given) == amount(kept)
