"""Request bodies in protobuf."""

import pytest

from skyflo_sandbox.cluster.protobuf import decode_protobuf


def field(number: int, value: bytes) -> bytes:
    return bytes([number << 3 | 2, len(value)]) + value


def envelope(kind: bytes, raw: bytes) -> bytes:
    return b"k8s\x00" + field(1, field(1, b"v1") + field(2, kind)) + field(2, raw)


def test_kubectl_protobuf_is_decoded() -> None:
    metadata = field(1, b"settings") + field(11, field(1, b"app") + field(2, b"web")) + field(8, b"")
    raw = field(1, metadata) + field(2, field(1, b"a") + field(2, b"1"))
    assert decode_protobuf(envelope(b"ConfigMap", raw), "ConfigMap") == {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings", "labels": {"app": "web"}},
        "data": {"a": "1"},
    }


@pytest.mark.parametrize(
    ("content", "kind", "why"),
    [
        (b"{}", "ConfigMap", "does not start"),
        (envelope(b"Job", b""), "Job", "only as JSON"),
        (envelope(b"ConfigMap", field(9, b"x")), "ConfigMap", "field 9 of ConfigMap"),
        (envelope(b"ConfigMap", b"\x0a\x7f"), "ConfigMap", "is truncated"),
        (envelope(b"ConfigMap", b"\xff" * 12), "ConfigMap", "not terminated"),
        (envelope(b"ConfigMap", b"\x08\x01"), "ConfigMap", "unexpected type"),
        (envelope(b"ConfigMap", b"\x0b"), "ConfigMap", "wire type 3"),
    ],
)
def test_unknown_protobuf_is_rejected(content: bytes, kind: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        decode_protobuf(content, kind)
