"""Evict pods one after the other, wait for budgets and for the pods to end, and report the result of each."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from skyflo_tools.change_result import ChangeResult
from skyflo_tools.dry_run import DryRun
from skyflo_tools.errors import ApiStatusError, ToolFailure
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.shortening import one_line
from skyflo_tools.tool import CallContext

RETRY_SECONDS = 2.0
MAX_LISTED = 40
REASON_CHARACTERS = 300


@dataclass
class Evictions:
    """The evictions of one drain. `seconds` bounds the wait for budgets and for the end of the pods together."""

    writes: Sequence[DryRun]
    call: CallContext
    seconds: float
    evicted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    """Pods that were not evicted, each with the reason."""
    _give_up_at: float = 0.0

    async def finish(self, node: str, result: ChangeResult) -> ChangeResult:
        """Evict all pods and wait for their end. Raises ToolFailure if some could not be evicted in time."""
        self._give_up_at = self.call.services.clock.monotonic() + self.seconds
        pods = [each for each in self.writes if each.write.deferred_as]
        waiting = await self._evict_round(pods)
        while waiting and await self._pause():
            waiting = await self._evict_round(waiting)
        running = await self._wait_for_end([each for each in pods if str(each.write.target) in self.evicted])
        report = [f"evicted {name}" for name in self.evicted]
        if self.refused:
            raise ToolFailure(
                f"node/{node} is not drained: {len(self.refused)} of {len(pods)} pods were not evicted. "
                + "; ".join([*_limited([f"{name}: {why}" for name, why in self.refused.items()]), *_limited(report)]),
                code="drain_incomplete",
                hint="find out what keeps the budget's other pods from being ready, then drain again",
            )
        warnings = [f"{name} was evicted and is still shutting down" for name in running]
        return result.model_copy(update={"report": report, "warnings": [*result.warnings, *warnings]})

    async def _evict_round(self, pods: Sequence[DryRun]) -> list[DryRun]:
        """Try to evict each pod once. Returns those that a budget holds up."""
        held = []
        for each in pods:
            name = str(each.write.target)
            if await self._evict(each, name):
                held.append(each)
            await self.call.progress(len(self.evicted), len(pods), self._progress(name))
        return held

    async def _evict(self, each: DryRun, name: str) -> bool:
        """Evict one pod. Returns whether a budget holds it up; any other refusal is final."""
        target = each.write.target
        try:
            request = each.write.operation.request(target, each.live)
            await self.call.effects.send(target.cluster.client, request, self.call.identity)
        except ApiStatusError as error:
            if error.is_missing or error.is_conflict:
                self.call.effects.total -= 1  # it has gone by itself, or another pod has its name now
                self.refused.pop(name, None)
                return False
            self.refused[name] = one_line(error.message, REASON_CHARACTERS)
            return error.status == 429
        self.evicted.append(name)
        self.refused.pop(name, None)
        return False

    def _progress(self, name: str) -> str:
        return f"{name} is held up: {self.refused[name]}" if name in self.refused else f"evicted {name}"

    async def _pause(self) -> bool:
        """Sleep before the next attempt. Returns false if the time is over."""
        clock = self.call.services.clock
        left = self._give_up_at - clock.monotonic()
        if left <= 0:
            return False
        await clock.sleep(min(RETRY_SECONDS, left))
        return True

    async def _wait_for_end(self, pods: list[DryRun]) -> list[str]:
        """Wait until the evicted pods are gone. Returns the names of those that still are there at the end."""
        remaining = pods
        while True:
            remaining = [each for each in remaining if await self._is_there(each)]
            if not remaining:
                return []
            done, names = len(pods) - len(remaining), [str(each.write.target) for each in remaining]
            await self.call.progress(done, len(pods), f"waiting for the end of {', '.join(names[:3])}")
            if not await self._pause():
                return names

    async def _is_there(self, each: DryRun) -> bool:
        target = each.write.target
        try:
            now = KubeObject(await target.cluster.client.get(target.read_path, self.call.identity))
        except ApiStatusError as error:
            return not error.is_missing
        return each.live is not None and now.uid == each.live.uid


def _limited(lines: list[str]) -> list[str]:
    more = [f"{len(lines) - MAX_LISTED} more"] if len(lines) > MAX_LISTED else []
    return [*lines[:MAX_LISTED], *more]
