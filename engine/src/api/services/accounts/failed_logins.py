"""Record failed logins of existing accounts in the audit log, in the background.

The response does not wait for the entry, so its time does not reveal whether an account exists.
"""

from src.api.errors import Unavailable
from src.api.ports import Clock, Store, Transaction
from src.api.schemas.audit import Actor
from src.api.services.audit.log import user_stream
from src.api.services.background import BackgroundTasks

__all__ = ["FailedLogins"]

INTERVAL_SECONDS = 60
MAX_ACCOUNTS = 1_000
ANONYMOUS = Actor("anonymous")


class FailedLogins:
    """Write at most one entry per account and minute, with the number of attempts since the previous one."""

    def __init__(self, store: Store, tasks: BackgroundTasks, clock: Clock) -> None:
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._recorded_at: dict[str, float] = {}
        self._attempts: dict[str, int] = {}

    def record(self, user_id: str) -> None:
        """Count a failed attempt and schedule an entry. Does not block."""
        now = self._clock.monotonic()
        self._attempts[user_id] = self._attempts.get(user_id, 0) + 1
        if now - self._recorded_at.get(user_id, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
            return
        if len(self._recorded_at) >= MAX_ACCOUNTS:
            self._recorded_at.clear()
            self._attempts = {user_id: self._attempts[user_id]}
        self._recorded_at[user_id] = now
        _ = self._tasks.spawn(self._record_attempts(user_id, self._attempts.pop(user_id)), name="failed login")

    async def _record_attempts(self, user_id: str, attempts: int) -> None:
        async def body(tx: Transaction) -> None:
            tx.audit(user_stream(user_id), "login.failed", ANONYMOUS, {"attempts": attempts})

        try:
            await self._store.transaction(body)
        except Unavailable:
            self._attempts[user_id] = self._attempts.get(user_id, 0) + attempts
