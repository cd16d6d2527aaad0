"""The rows of the audit log (`protocol.md` 23)."""

from dataclasses import dataclass

from src.api.schemas.records.base import Record

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
    """The end of an audit stream. `seal` covers it; None while entries from `since` on are not sealed."""

    table = "audit_heads"
    key = ("stream",)
    stream: str
    n: int
    hash: str
    since: int
    seal: int | None


@dataclass(frozen=True, slots=True)
class AuditSeal(Record):
    """A seal. `heads` is canonical JSON: `[stream, since, n, hash]` for each covered stream."""

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
