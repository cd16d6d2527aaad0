"""Request bodies in JSON and YAML."""

import pytest

from skyflo_sandbox.cluster.body_decoder import decode_body


def test_yaml_values_have_json_types() -> None:
    text = b"a: 2020-01-01\nb: 1\nc: [x, 'y']\nd: ~\n1: e\n"
    assert decode_body(text, "application/yaml") == {"a": "2020-01-01", "b": 1, "c": ["x", "y"], "d": None, "1": "e"}


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
def test_unsafe_yaml_is_rejected(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_body(content, "application/apply-patch+yaml")


@pytest.mark.parametrize("content", [b"", b"{", b"[" * 2000, b'{"a":' * 200 + b"1" + b"}" * 200, b"\xff", b"NaN"])
def test_malformed_or_deep_json_is_rejected(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        decode_body(content, "application/json")
