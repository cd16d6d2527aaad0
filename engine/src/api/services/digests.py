"""What a decision is about, as one number: the digest covers all that was shown and all that will run."""

from src.api.schemas.records import Approval
from src.api.utils.canonical import digest_of

__all__ = ["digest_over", "untouched"]


def digest_over(approval: Approval) -> str:
    """SHA-256 over run, server, tool, schema hash, arguments, preview and preconditions."""
    return digest_of(
        run=approval.run_id,
        server=approval.server,
        tool=approval.tool,
        schema=approval.schema_hash,
        args=approval.args,
        preview=approval.preview,
        preconditions=approval.preconditions,
    )


def untouched(approval: Approval) -> bool:
    """Whether the row still holds what its digest was made of."""
    return digest_over(approval) == approval.digest
