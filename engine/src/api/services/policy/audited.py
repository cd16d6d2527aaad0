"""Record each newly active policy in the audit log before it decides anything."""

import asyncio
import logging

from src.api.errors import Unavailable
from src.api.ports import Policies, Reader, Store, Transaction
from src.api.schemas.policy import ActivePolicy
from src.api.schemas.query import Increment
from src.api.schemas.records import AuditEntry, AuditHead
from src.api.services.audit.log import POLICY_STREAM, audit_policy, policy_body
from src.api.utils.audit_hash import GENESIS
from src.api.utils.canonical import canonical

__all__ = ["AuditedPolicies"]

logger = logging.getLogger(__name__)


class AuditedPolicies:
    """Wrap `Policies`; audit a new policy once, from the first replica that sees it.

    While the database is unreachable nothing is recorded. No call is decided then either, since decisions need the
    database.
    """

    def __init__(self, policies: Policies, store: Store) -> None:
        self._policies = policies
        self._store = store
        self._lock = asyncio.Lock()
        self._recorded: ActivePolicy | None = None

    async def current(self) -> ActivePolicy:
        policy = await self._policies.current()
        if policy is not self._recorded:
            async with self._lock:
                await self._record(policy)
        return policy

    async def _record(self, policy: ActivePolicy) -> None:
        if policy is self._recorded:
            return
        try:
            if not await self._store.read(lambda reader: _is_recorded(reader, policy)):
                await self._store.transaction(lambda tx: self._add(tx, policy))
        except Unavailable as error:
            logger.warning(error.detail, extra={"action": "policy.not_told"})
            return
        self._recorded = policy

    async def _add(self, tx: Transaction, policy: ActivePolicy) -> None:
        """Append the entry unless another replica has.

        The update of the stream's head serializes the replicas.
        """
        await tx.insert(AuditHead(stream=POLICY_STREAM, n=0, hash=GENESIS, since=1, seal=0))
        await tx.change(AuditHead, {"stream": POLICY_STREAM}, n=Increment(0))
        if not await _is_recorded(tx, policy):
            audit_policy(tx, policy)


async def _is_recorded(reader: Reader, policy: ActivePolicy) -> bool:
    """Whether the newest entry describes this policy. The default policy without a problem needs no first entry."""
    last = await reader.find(AuditEntry, {"stream": POLICY_STREAM}, "-n", 1)
    if not last:
        return policy.loaded_at is None and policy.problem is None
    return last[0].body == canonical(policy_body(policy))
