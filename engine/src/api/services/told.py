"""The policy in force, told to the audit trail before anything is decided by it."""

import asyncio
import logging

from src.api.errors import Unavailable
from src.api.ports import Policies, Reader, Store, Transaction
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Plus
from src.api.schemas.trail import AuditEntry, AuditHead
from src.api.services.trail import POLICY_STREAM, audit_policy, policy_body
from src.api.utils.canonical import canonical
from src.api.utils.chain import GENESIS

__all__ = ["ToldPolicies"]

logger = logging.getLogger(__name__)


class ToldPolicies:
    """`Policies` that says so in the trail when another one comes into force: once, by whichever replica sees it first.

    While the database is away nothing is told, and nothing is decided either.
    """

    def __init__(self, policies: Policies, store: Store) -> None:
        self._policies = policies
        self._store = store
        self._lock = asyncio.Lock()
        self._told: PolicyInForce | None = None

    async def current(self) -> PolicyInForce:
        force = await self._policies.current()
        if force is not self._told:
            async with self._lock:
                await self._tell(force)
        return force

    async def _tell(self, force: PolicyInForce) -> None:
        if force is self._told:
            return
        try:
            if not await self._store.read(lambda reader: _is_told(reader, force)):
                await self._store.transaction(lambda tx: self._add(tx, force))
        except Unavailable as error:
            logger.warning(error.detail, extra={"action": "policy.not_told"})
            return
        self._told = force

    async def _add(self, tx: Transaction, force: PolicyInForce) -> None:
        """The stream's head is the lock under which it is seen whether another replica has told it."""
        await tx.insert(AuditHead(stream=POLICY_STREAM, n=0, hash=GENESIS, since=1, seal=0))
        await tx.change(AuditHead, {"stream": POLICY_STREAM}, n=Plus(0))
        if not await _is_told(tx, force):
            audit_policy(tx, force)


async def _is_told(reader: Reader, force: PolicyInForce) -> bool:
    """Whether the last entry says it. Where there is none, the default goes without saying."""
    last = await reader.find(AuditEntry, {"stream": POLICY_STREAM}, "-n", 1)
    if not last:
        return force.loaded_at is None and force.problem is None
    return last[0].body == canonical(policy_body(force))
