"""Keeping count of what a call has changed, so that every error can say it truly."""

from dataclasses import dataclass

from skyflo_tools.errors import ApiRefused, ApiUnreachable, Effect
from skyflo_tools.kubernetes.client import Answer, Identity, KubeClient, Request

# Answers after which the API server has certainly not acted. A 5xx may come after the effect.
_NEVER_ACTED = frozenset({400, 401, 403, 404, 405, 406, 409, 410, 412, 413, 415, 422, 429})


@dataclass
class Effects:
    """What one call has done so far. Whoever sends a change sends it through here."""

    total: int = 0
    done: int = 0
    in_doubt: int = 0

    @property
    def effect(self) -> Effect:
        if self.in_doubt:
            return "unknown"
        if self.done == 0:
            return "none"
        return "done" if self.done >= self.total else "partial"

    async def send(self, client: KubeClient, request: Request, identity: Identity | None) -> Answer:
        """Sends one change and remembers its fate, also if this never returns."""
        self.in_doubt += 1
        try:
            answer = await client.send(request, identity)
        except ApiRefused as error:
            if error.status in _NEVER_ACTED:
                self.in_doubt -= 1
            raise
        except ApiUnreachable as error:
            if not error.sent:
                self.in_doubt -= 1
            raise
        self.in_doubt -= 1
        self.done += 1
        return answer
