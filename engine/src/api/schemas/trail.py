"""What the store holds of the audit trail: `protocol.md` 23."""

from dataclasses import dataclass

from src.api.schemas.record import Record

__all__ = ["AuditEntry", "AuditHead", "AuditSeal"]


@dataclass(frozen=True, slots=True)
class AuditEntry(Record):
    table = "audit"
    key = ("stream", "n")
    stream: str
    n: int
    action: str
    actor: str
    name: str
    body: str
    previous: str
    hash: str
    created_at: int


@dataclass(frozen=True, slots=True)
class AuditHead(Record):
    """Where a stream of the audit ends. `seal` is the one that covers it, None while entries from `since` on wait."""

    table = "audit_heads"
    key = ("stream",)
    stream: str
    n: int
    hash: str
    since: int
    seal: int | None


@dataclass(frozen=True, slots=True)
class AuditSeal(Record):
    """`heads` is the canonical JSON of what it covers: `[stream, since, n, hash]` for each stream that had moved."""

    table = "audit_seals"
    key = ("n",)
    n: int
    previous: str
    heads: str
    count: int
    root: str
    key_id: str
    mac: str
    hash: str
    created_at: int
