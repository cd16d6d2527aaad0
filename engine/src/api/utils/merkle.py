"""Compute the root of a Merkle tree as in RFC 6962: leaves and nodes have separate prefixes, odd leaves are not
doubled.
"""

import hashlib
from collections.abc import Sequence

__all__ = ["merkle_root"]


def merkle_root(leaves: Sequence[str]) -> str:
    """Return the root in hexadecimal. Without leaves it is the SHA-256 of the empty string."""
    return _root([leaf.encode() for leaf in leaves]).hex()


def _root(leaves: Sequence[bytes]) -> bytes:
    if len(leaves) < 2:
        return hashlib.sha256(b"\x00" + leaves[0] if leaves else b"").digest()
    left = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + _root(leaves[:left]) + _root(leaves[left:])).digest()
