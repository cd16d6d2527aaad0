"""The digest of an approval: one hash over everything that was shown and everything that will run."""

from src.api.schemas.records import Approval
from src.api.utils.canonical import digest_of

__all__ = ["compute_digest", "matches_digest"]


def compute_digest(approval: Approval) -> str:
    """Return the SHA-256 over run, server, tool, schema hash, arguments, preview and preconditions."""
    return digest_of(
        run=approval.run_id,
        server=approval.server,
        tool=approval.tool,
        schema=approval.schema_hash,
        args=approval.args,
        preview=approval.preview,
        preconditions=approval.preconditions,
    )


def matches_digest(approval: Approval) -> bool:
    """Return whether the row still holds the values that its digest was computed from."""
    return compute_digest(approval) == approval.digest
