"""Test the Merkle root: leaves and nodes are hashed differently, and an odd last node moves up unchanged."""

import hashlib

from src.api.utils.merkle import merkle_root


def leaf(text: str) -> bytes:
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_merkle_root_of_small_trees() -> None:
    a, b, c = leaf("a"), leaf("b"), leaf("c")
    assert merkle_root([]) == hashlib.sha256(b"").hexdigest()
    assert merkle_root(["a"]) == a.hex()
    assert merkle_root(["a", "b"]) == node(a, b).hex()
    assert merkle_root(["a", "b", "c"]) == node(node(a, b), c).hex()
    assert merkle_root(["a", "b", "c", "a", "b"]) == node(node(node(a, b), node(c, a)), b).hex()
