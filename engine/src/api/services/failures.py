"""Wrong passwords for accounts that exist, told to the audit trail behind the answer: that takes as long for any."""

from src.api.errors import Unavailable
from src.api.ports import Clock, Store, Transaction
from src.api.schemas.audit import Actor
from src.api.services.tasks import Tasks
from src.api.services.trail import user_stream

__all__ = ["FailedLogins"]

EVERY_SECONDS = 60
MOST_ACCOUNTS = 1_000
SOMEBODY = Actor("anonymous")


class FailedLogins:
    """At most one entry a minute and account, with how many attempts there were since the one before."""

    def __init__(self, store: Store, tasks: Tasks, clock: Clock) -> None:
        self._store = store
        self._tasks = tasks
        self._clock = clock
        self._told: dict[str, float] = {}
        self._attempts: dict[str, int] = {}

    def note(self, user_id: str) -> None:
        """Returns at once."""
        now = self._clock.boot()
        self._attempts[user_id] = self._attempts.get(user_id, 0) + 1
        if now - self._told.get(user_id, -EVERY_SECONDS) < EVERY_SECONDS:
            return
        if len(self._told) >= MOST_ACCOUNTS:
            self._told.clear()
            self._attempts = {user_id: self._attempts[user_id]}
        self._told[user_id] = now
        _ = self._tasks.spawn(self._tell(user_id, self._attempts.pop(user_id)), name="failed login")

    async def _tell(self, user_id: str, attempts: int) -> None:
        async def body(tx: Transaction) -> None:
            tx.audit(user_stream(user_id), "login.failed", SOMEBODY, {"attempts": attempts})

        try:
            await self._store.transaction(body)
        except Unavailable:
            self._attempts[user_id] = self._attempts.get(user_id, 0) + attempts
