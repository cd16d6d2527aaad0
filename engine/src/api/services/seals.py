"""What a seal of the audit trail says, and how it is made and checked (`protocol.md` 23)."""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from src.api.schemas.base import Json
from src.api.schemas.trail import AuditHead, AuditSeal
from src.api.utils.canonical import canonical, sha256
from src.api.utils.chain import GENESIS
from src.api.utils.merkle import merkle_root

__all__ = ["SEALS", "SealKey", "SealedHead", "flaw_of", "heads_of", "made_seal"]

SEALS: Final = "seals"
"""The row among the heads that says where the seals themselves end. It is no stream."""


@dataclass(frozen=True, slots=True)
class SealedHead:
    """The entries `since` to `n` of a stream, the last of which has this hash."""

    stream: str
    since: int
    n: int
    hash: str


class SealKey:
    """`AUDIT_KEY`. Seals name it by a fingerprint, so that one made with another key is told from a forged one."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = hashlib.sha256(b"which audit key:" + key).hexdigest()[:16]

    def signed(self, seal: AuditSeal) -> str:
        said = canonical([seal.n, seal.previous, seal.root, seal.count, seal.created_at])
        return hmac.new(self._key, said.encode(), hashlib.sha256).hexdigest()

    def made(self, seal: AuditSeal) -> bool:
        """Whether this key signed it."""
        return hmac.compare_digest(seal.mac, self.signed(seal))


def made_seal(key: SealKey, n: int, previous: str, heads: Sequence[AuditHead], now: int) -> AuditSeal:
    """The n-th seal, over these heads."""
    leaves: list[Json] = [[each.stream, each.since, each.n, each.hash] for each in heads]
    root = merkle_root([canonical(leaf) for leaf in leaves])
    bare = AuditSeal(n, previous, canonical(leaves), len(leaves), root, key.id, "", "", now)
    signed = replace(bare, mac=key.signed(bare))
    return replace(signed, hash=hash_of(signed))


def hash_of(seal: AuditSeal) -> str:
    parts: list[Json] = [seal.n, seal.previous, seal.root, seal.count, seal.created_at, seal.key_id, seal.mac]
    return sha256(canonical(parts))


def heads_of(seal: AuditSeal) -> list[SealedHead]:
    """What it covers. Raises `ValueError` where that can't be read."""
    read = orjson.loads(seal.heads)
    if not isinstance(read, list):
        raise ValueError("not a list")  # noqa: TRY004 - the text is wrong, not a caller's type
    return [SealedHead(str(stream), int(since), int(n), str(hash_)) for stream, since, n, hash_ in read]


def flaw_of(seal: AuditSeal, previous: AuditSeal | None, key: SealKey) -> str | None:
    """What is wrong with a seal in itself, and with its place behind the one before it."""
    before = (0, GENESIS) if previous is None else (previous.n, previous.hash)
    if seal.n != before[0] + 1:
        return f"seal {before[0] + 1} is missing"
    if seal.previous != before[1]:
        return "it does not follow the seal before it"
    if not _root_fits(seal):
        return "what it covers is not what it was made over"
    if seal.hash != hash_of(seal):
        return "its content is not what its hash says"
    if seal.key_id == key.id and not key.made(seal):
        return "it was not signed with AUDIT_KEY"
    return None


def _root_fits(seal: AuditSeal) -> bool:
    try:
        heads = heads_of(seal)
    except (ValueError, TypeError):
        return False
    leaves = [canonical([each.stream, each.since, each.n, each.hash]) for each in heads]
    return seal.heads == f"[{','.join(leaves)}]" and seal.count == len(heads) and seal.root == merkle_root(leaves)
