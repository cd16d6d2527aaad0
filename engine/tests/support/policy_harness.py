"""Run the real core on a real database, with a policy file that the test writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.policy_file import PolicyFile
from src.api.adapters.store.store import open_store
from src.api.ports import ImpersonatedUser, Preview, ToolSpec
from src.api.schemas.base import JsonObject
from src.api.schemas.query import Where
from src.api.schemas.records import Approval, JournalEvent
from src.api.services.access import Caller
from src.api.utils.json_columns import load_object
from tests.support.core_harness import CoreHarness, FakeToolServer, add_team_members, open_core_harness

__all__ = ["NamespacedToolServer", "PolicyHarness", "open_policy_harness"]


class NamespacedToolServer(FakeToolServer):
    """A tool server whose things are named `namespace.name`; its previews report the namespace."""

    async def preview(self, spec: ToolSpec, args: str, impersonate_user: ImpersonatedUser | None = None) -> Preview:
        space, _, name = str(load_object(args)["name"]).partition(".")
        objects = (f"home/v1/Thing/{space}/{name}",) if name else ()
        risk = self.risks.get(spec.name, "low")
        return Preview(f"Changes {name}.", risk, objects, {"name": name}, {"summary": f"Changes {name}."})


class PolicyHarness:
    """A core with its policy file and the tool server's effects."""

    def __init__(self, core_harness: CoreHarness, tools: FakeToolServer, file: Path) -> None:
        self.core_harness = core_harness
        self.tools = tools
        self._file = file

    def write(self, text: str) -> None:
        """Replace the policy file atomically, as an operator should."""
        aside = self._file.with_suffix(".new")
        aside.write_text(text)
        aside.replace(self._file)

    async def events(self, run_id: str) -> list[tuple[str, str | None]]:
        """Return the outcome of each call and who decided it."""
        found = await self.core_harness.store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}, "n"))
        outcomes = [(each.type, load_object(each.body).get("decided_by")) for each in found]
        return [(kind, None if by is None else str(by)) for kind, by in outcomes if kind.startswith("tool.")]

    async def event(self, run_id: str, kind: str) -> JsonObject:
        """Return the first event of a kind."""
        where: Where = {"run_id": run_id, "type": kind}
        [first, *_] = await self.core_harness.store.read(lambda reader: reader.find(JournalEvent, where, "n"))
        return load_object(first.body)

    async def approvals(self, run_id: str) -> list[Approval]:
        return await self.core_harness.store.read(
            lambda reader: reader.find(Approval, {"run_id": run_id}, "created_at,id")
        )


@asynccontextmanager
async def open_policy_harness(url: str, folder: Path, policy: str, *people: Caller) -> AsyncIterator[PolicyHarness]:
    clock, file = SystemClock(), folder / "policy.yaml"
    async with open_store(url) as store:
        await add_team_members(store, *people)
        tools = NamespacedToolServer(store)
        policies = PolicyFile(file, False, clock)
        async with open_core_harness(store, LocalBus(clock), clock, tools, policies=policies) as core_harness:
            opened = PolicyHarness(core_harness, tools, file)
            opened.write(policy)
            yield opened
        assert tools.violations == []
