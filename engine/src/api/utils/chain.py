"""How the entries of one stream of the audit trail hang together (`protocol.md` 23)."""

from src.api.utils.canonical import canonical, sha256

__all__ = ["GENESIS", "entry_hash"]

GENESIS = ""
"""What the first entry of a stream has for the hash of the one before it."""


def entry_hash(stream: str, n: int, action: str, actor: str, name: str, at: int, body: str, previous: str) -> str:
    """SHA-256 over all that an entry says and the hash of the one before it; `body` is the text as it is kept."""
    return sha256(canonical([stream, n, action, actor, name, at, body, previous]))
