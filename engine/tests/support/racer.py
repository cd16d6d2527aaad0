"""Decide on approvals from a separate process, in a race with others that do the same.

Run as `python -m tests.support.racer <url> <folder> <name>`. It prints `ready`. Then one line of JSON on standard input
names the approvals and the decision for each. The process sends all decisions as fast as it can, in a random order,
runs the changes that it claims, and prints the answers.
"""

import asyncio
import json
import random
import sys
import time
from pathlib import Path

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import AlreadyDecided, StoreUnavailable
from src.api.ports import Settlement, Store, ToolReply, ToolRequest
from src.api.services.access import Caller, Role
from tests.support.core_harness import CoreHarness, FakeToolServer, open_core_harness
from tests.support.counting_store import CountingStore
from tests.support.waiting import PATIENCE

__all__ = ["SharedToolServer"]

AT_ONCE = 8


class SharedToolServer(FakeToolServer):
    """A tool server that counts in a file which all processes share."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self._counting = CountingStore(folder)

    def _run(self, request: ToolRequest, how: str) -> ToolReply:
        approval = request.grant.approval_id if request.grant else ""
        if self._counting.begin(approval) is not None:
            return ToolReply("failed", error="the grant was used", code="grant_used", effect="none")
        self._counting.apply_change(request.tool, approval, how, approval)
        self._counting.end(approval, "succeeded", "done", {})
        return ToolReply("succeeded", effect="done")

    async def settle(self, server: str, approval_id: str) -> Settlement:
        state = self._counting.settle(approval_id)["state"]
        return Settlement("never_ran") if state == "never_ran" else Settlement("succeeded", ToolReply("succeeded"))

    def close(self) -> None:
        self._counting.close()


async def _decide(harness: CoreHarness, caller: Caller, call_id: str, approve: bool) -> object:
    """Send one decision, again while a busy database refuses it. Returns "won", or else who decided and when."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            await harness.decide(call_id, approve=approve, caller=caller)
        except AlreadyDecided as error:
            return error.extra
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
        else:
            return "won"


async def _race(url: str, folder: Path, name: str) -> None:
    clock = SystemClock()
    async with open_store(url) as store:
        tools = SharedToolServer(store, folder)
        async with open_core_harness(store, LocalBus(clock), clock, tools, lease=5, sweep_interval=1) as harness:
            _write_line("ready")
            wanted: dict[str, bool] = json.loads(await _read_line())
            room = asyncio.Semaphore(AT_ONCE)

            async def one(call_id: str) -> object:
                async with room:
                    return await _decide(harness, Caller(name, Role.APPROVER, name), call_id, wanted[call_id])

            order = random.Random(name).sample(sorted(wanted), len(wanted))
            _write_line(json.dumps(dict(zip(order, await asyncio.gather(*map(one, order)), strict=True))))
            await _read_line()
        tools.close()
        if tools.violations:
            raise AssertionError(tools.violations)


async def _read_line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_race(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
