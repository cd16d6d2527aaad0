"""The real loop on a real database, with a policy file that a test writes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.policy_file import PolicyFile
from src.api.adapters.store.store import open_store
from src.api.ports import Acting, Preview, ToolSpec
from src.api.schemas.records import Approval, JournalEvent
from src.api.services.access import Caller
from src.api.utils.clock import SystemClock
from src.api.utils.shown import shown_object
from tests.support.workshop import Bench, Toolbox, enrol, open_bench

__all__ = ["Office", "Spaces", "office"]


class Spaces(Toolbox):
    """Things are called `namespace.name`, and previews say so."""

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview:
        space, _, name = str(shown_object(args)["name"]).partition(".")
        objects = (f"home/v1/Thing/{space}/{name}",) if name else ()
        return Preview(f"Changes {name}.", "low", objects, {"name": name}, {"summary": f"Changes {name}."})


class Office:
    """A bench with its policy file and what it did."""

    def __init__(self, bench: Bench, tools: Toolbox, file: Path) -> None:
        self.bench = bench
        self.tools = tools
        self._file = file

    def write(self, text: str) -> None:
        """In one step, as an operator should."""
        aside = self._file.with_suffix(".new")
        aside.write_text(text)
        aside.replace(self._file)

    async def events(self, run_id: str) -> list[tuple[str, str | None]]:
        """What became of its calls, and who decided that."""
        found = await self.bench.store.read(lambda reader: reader.find(JournalEvent, {"run_id": run_id}, "n"))
        told = [(each.type, shown_object(each.body).get("decided_by")) for each in found]
        return [(kind, None if by is None else str(by)) for kind, by in told if kind.startswith("tool.")]

    async def approvals(self, run_id: str) -> list[Approval]:
        return await self.bench.store.read(lambda reader: reader.find(Approval, {"run_id": run_id}, "created_at,id"))


@asynccontextmanager
async def office(url: str, folder: Path, policy: str, *people: Caller) -> AsyncIterator[Office]:
    clock, file = SystemClock(), folder / "policy.yaml"
    async with open_store(url) as store:
        await enrol(store, *people)
        tools = Spaces(store)
        policies = PolicyFile(file, False, clock)
        async with open_bench(store, LocalBus(clock), clock, tools, policies=policies) as bench:
            opened = Office(bench, tools, file)
            opened.write(policy)
            yield opened
        assert tools.wrong == []
