"""Create and verify seals of the audit log. One replica adds them every few seconds (`protocol.md` 23)."""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from src.api.errors import StoreUnavailable
from src.api.ports import Clock, Reader, Store, Transaction
from src.api.schemas.base import Json
from src.api.schemas.query import Where
from src.api.schemas.records import AuditHead, AuditSeal
from src.api.services.background import run_periodically, warn
from src.api.utils.audit_hash import GENESIS
from src.api.utils.canonical import canonical, sha256
from src.api.utils.merkle import merkle_root

__all__ = ["SEALS", "SealKey", "SealedHead", "Sealer", "find_flaw", "make_seal", "parse_heads"]

logger = logging.getLogger(__name__)

SEALS: Final = "seals"
"""The head that records where the seals end. It is no stream of entries."""


@dataclass(frozen=True, slots=True)
class SealedHead:
    """The entries `since` to `n` of a stream; `hash` is that of the last one."""

    stream: str
    since: int
    n: int
    hash: str


class SealKey:
    """Sign and verify seals with `AUDIT_KEY`.

    Seals store a fingerprint of their key, so that a seal of another key is not mistaken for a forged one.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key
        self.id = hashlib.sha256(b"which audit key:" + key).hexdigest()[:16]

    def sign(self, seal: AuditSeal) -> str:
        content = canonical([seal.n, seal.previous, seal.root, seal.count, seal.created_at])
        return hmac.new(self._key, content.encode(), hashlib.sha256).hexdigest()

    def has_signed(self, seal: AuditSeal) -> bool:
        """Whether this key signed the seal."""
        return hmac.compare_digest(seal.mac, self.sign(seal))


def make_seal(key: SealKey, n: int, previous: str, heads: Sequence[AuditHead], now: int) -> AuditSeal:
    """Create the n-th seal, over these heads."""
    leaves: list[Json] = [[each.stream, each.since, each.n, each.hash] for each in heads]
    root = merkle_root([canonical(leaf) for leaf in leaves])
    bare = AuditSeal(n, previous, canonical(leaves), len(leaves), root, key.id, "", "", now)
    sign = replace(bare, mac=key.sign(bare))
    return replace(sign, hash=hash_of(sign))


def hash_of(seal: AuditSeal) -> str:
    parts: list[Json] = [seal.n, seal.previous, seal.root, seal.count, seal.created_at, seal.key_id, seal.mac]
    return sha256(canonical(parts))


def parse_heads(seal: AuditSeal) -> list[SealedHead]:
    """Parse the heads that a seal covers. Raises `ValueError`."""
    read = orjson.loads(seal.heads)
    if not isinstance(read, list):
        raise ValueError("not a list")  # noqa: TRY004 - the text is wrong, not a caller's type
    return [SealedHead(str(stream), int(since), int(n), str(hash_)) for stream, since, n, hash_ in read]


def find_flaw(seal: AuditSeal, previous: AuditSeal | None, key: SealKey) -> str | None:
    """Return what is wrong with a seal or with its link to the previous one, or None."""
    before = (0, GENESIS) if previous is None else (previous.n, previous.hash)
    if seal.n != before[0] + 1:
        return f"seal {before[0] + 1} is missing"
    if seal.previous != before[1]:
        return "it does not follow the seal before it"
    if not _root_fits(seal):
        return "what it covers is not what it was made over"
    if seal.hash != hash_of(seal):
        return "its content is not what its hash says"
    if seal.key_id == key.id and not key.has_signed(seal):
        return "it was not signed with AUDIT_KEY"
    return None


def _root_fits(seal: AuditSeal) -> bool:
    try:
        heads = parse_heads(seal)
    except (ValueError, TypeError):
        return False
    leaves = [canonical([each.stream, each.since, each.n, each.hash]) for each in heads]
    return seal.heads == f"[{','.join(leaves)}]" and seal.count == len(heads) and seal.root == merkle_root(leaves)


MAX_STREAMS_PER_SEAL = 500
"""Streams that one seal covers at most."""

MAX_SEALS_AT_ONCE = 100
"""Seals in one pass after a backlog."""


class _NothingNew(Exception):
    """Another replica has sealed these streams; roll the transaction back."""


@dataclass(slots=True)
class Sealer:
    """Seal the streams that changed since their last seal, so that the cost follows the activity."""

    store: Store
    clock: Clock
    key: SealKey
    every: float

    async def run_forever(self) -> None:
        """Seal every `every` seconds until cancelled."""
        failed = warn(logger, "audit.not_sealed")
        await run_periodically(self.seal, self.clock, lambda: self.every, failed, wait_first=True)

    async def seal(self) -> list[AuditSeal]:
        """Seal all changed streams and return the new seals."""
        has_signed: list[AuditSeal] = []
        while len(has_signed) < MAX_SEALS_AT_ONCE and (seal := await self._seal_next()) is not None:
            extra = {"action": "audit.sealed", "seal": f"{seal.n}:{seal.hash}", "streams": seal.count}
            logger.info("The audit log was sealed: %s:%s", seal.n, seal.hash, extra=extra)
            has_signed.append(seal)
        return has_signed

    async def _seal_next(self) -> AuditSeal | None:
        async def read_moved(reader: Reader) -> tuple[AuditHead | None, tuple[str, ...]]:
            moved = await reader.find(AuditHead, {"seal": None}, "stream", MAX_STREAMS_PER_SEAL)
            last = await reader.get(AuditHead, stream=SEALS) if moved else None
            return last, tuple(each.stream for each in moved)

        last, streams = await self.store.read(read_moved)
        if not streams:
            return None
        try:
            return await self.store.transaction(lambda tx: self._add(tx, last, streams), upkeep=True)
        except _NothingNew:
            return None

    async def _add(self, tx: Transaction, last: AuditHead | None, streams: tuple[str, ...]) -> AuditSeal:
        """Insert one seal.

        A compare-and-set on the seals' head lets one replica win. The covered heads stay locked until the commit.
        """
        if last is None:
            last = AuditHead(SEALS, 0, GENESIS, since=1, seal=0)
            await tx.insert(last)
        guard: Where = {"stream": SEALS, "n": last.n, "hash": last.hash}
        if await tx.change(AuditHead, guard, n=last.n + 1) is None:
            raise _NothingNew
        heads = await tx.change_all(AuditHead, {"stream": streams, "seal": None}, seal=last.n + 1)
        if not heads:
            raise _NothingNew
        seal = make_seal(self.key, last.n + 1, last.hash, heads, await tx.now())
        if not await tx.insert(seal):
            raise StoreUnavailable(f"Seal {seal.n} of the audit log exists already. Run `skyflo audit verify`.")
        await tx.change(AuditHead, {"stream": SEALS}, hash=seal.hash)
        return seal
