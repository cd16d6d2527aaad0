"""One of several processes that decide on the same approvals: `python -m tests.support.racer <url> <folder> <name>`.

It prints `ready`; then a line of JSON on standard input names the approvals, each with what it is to say of it. It says
all of it as fast as it can, in an order of its own, carries out what falls to it, and prints what it was answered.
"""

import asyncio
import json
import random
import sys
from pathlib import Path

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.store.store import open_store
from src.api.errors import AlreadyDecided
from src.api.ports import Settlement, Store, ToolReply, ToolRequest
from src.api.services.access import Caller, Role
from src.api.utils.clock import SystemClock
from tests.support.counting_store import CountingStore
from tests.support.workshop import Bench, Toolbox, open_bench

__all__ = ["SharedToolbox"]

AT_ONCE = 8


class SharedToolbox(Toolbox):
    """Counts in a file that all processes share."""

    def __init__(self, store: Store, folder: Path) -> None:
        super().__init__(store)
        self._counting = CountingStore(folder)

    def _run(self, request: ToolRequest, how: str) -> ToolReply:
        approval = request.grant.approval_id if request.grant else ""
        if self._counting.begin(approval) is not None:
            return ToolReply("failed", error="the grant was used", code="grant_used", effect="none")
        self._counting.act(request.tool, approval, how, approval)
        self._counting.end(approval, "succeeded", "done", {})
        return ToolReply("succeeded", effect="done")

    async def settle(self, server: str, approval_id: str) -> Settlement:
        told = self._counting.settle(approval_id)["state"]
        return Settlement("never_ran") if told == "never_ran" else Settlement("succeeded", ToolReply("succeeded"))

    def close(self) -> None:
        self._counting.close()


async def _decide(bench: Bench, caller: Caller, call_id: str, approve: bool) -> object:
    """What this process was told: that its word counts, or whose does and since when."""
    try:
        await bench.decide(call_id, approve=approve, caller=caller)
    except AlreadyDecided as error:
        return error.extra
    return "won"


async def _race(url: str, folder: Path, name: str) -> None:
    clock = SystemClock()
    async with open_store(url) as store:
        tools = SharedToolbox(store, folder)
        async with open_bench(store, LocalBus(clock), clock, tools, lease=5, sweep_every=1) as bench:
            _say("ready")
            wanted: dict[str, bool] = json.loads(await _line())
            room = asyncio.Semaphore(AT_ONCE)

            async def one(call_id: str) -> object:
                async with room:
                    return await _decide(bench, Caller(name, Role.APPROVER, name), call_id, wanted[call_id])

            order = random.Random(name).sample(sorted(wanted), len(wanted))
            _say(json.dumps(dict(zip(order, await asyncio.gather(*map(one, order)), strict=True))))
            await _line()
        tools.close()
        if tools.wrong:
            raise AssertionError(tools.wrong)


async def _line() -> str:
    return await asyncio.to_thread(sys.stdin.readline)


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_race(sys.argv[1], Path(sys.argv[2]), sys.argv[3]))
