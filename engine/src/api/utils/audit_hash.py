"""Compute the hash chain of one stream of the audit log (`protocol.md` 23)."""

from src.api.utils.canonical import canonical, sha256

__all__ = ["GENESIS", "entry_hash"]

GENESIS = ""
"""The first entry's `previous` hash."""


def entry_hash(stream: str, n: int, action: str, actor: str, name: str, at: int, body: str, previous: str) -> str:
    """Hash an entry's fields and the previous entry's hash with SHA-256; `body` is the stored text."""
    return sha256(canonical([stream, n, action, actor, name, at, body, previous]))
