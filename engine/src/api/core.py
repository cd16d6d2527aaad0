"""Puts the services together that start, walk, decide and end runs. What they stand on is chosen in `container.py`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from src.api.ports import Bus, Clock, Ids, Policies, Store, ToolServer
from src.api.schemas.records import Run
from src.api.services.acting import Impersonation
from src.api.services.approvals import Approvals
from src.api.services.chat import Chat
from src.api.services.desk import Office
from src.api.services.editing import Editing
from src.api.services.endings import Endings
from src.api.services.inbox import Inbox
from src.api.services.journal import Journal
from src.api.services.leases import Lease, Leases, LeaseTimes
from src.api.services.ledger import Ledger
from src.api.services.outcomes import Outcomes
from src.api.services.policing import DefaultPolicy
from src.api.services.proposals import Proposals
from src.api.services.pulse import Pulse
from src.api.services.recovery import Sweep
from src.api.services.runs import Runs
from src.api.services.settings import Limits
from src.api.services.tasks import Tasks
from src.api.services.verification import Verification
from src.api.services.worker import Leg, Worker
from src.api.utils.failpoints import Failpoints
from src.api.utils.redaction import Redactor

__all__ = ["Core", "Ground", "open_core"]

SHUTDOWN_PATIENCE = 10.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What the core stands on. `sweep_every` is in seconds."""

    store: Store
    bus: Bus
    tools: ToolServer
    pulse: Pulse
    clock: Clock
    ids: Ids
    redactor: Redactor
    failpoints: Failpoints
    limits: Limits
    times: LeaseTimes
    sweep_every: float
    impersonation: Impersonation = field(default_factory=Impersonation)
    policies: Policies = field(default_factory=DefaultPolicy)


@dataclass(frozen=True, slots=True)
class Core:
    """What starts, decides and ends runs."""

    approvals: Approvals
    chat: Chat
    inbox: Inbox
    office: Office
    runs: Runs
    sweep: Sweep
    verification: Verification


@asynccontextmanager
async def open_core(ground: Ground, legs: Callable[[], Awaitable[Leg]]) -> AsyncIterator[Core]:
    """The core at work until the block ends: then its runs are left to others, and changes on their way are waited for.

    `legs` waits for the graph, which is loaded behind the open port.
    """
    async with Tasks(SHUTDOWN_PATIENCE) as tasks:
        journal = Journal(ground.ids)
        endings = Endings(ground.store, journal, ground.ids)
        outcomes = Outcomes(ground.store, journal, ground.ids, ground.redactor, ground.limits)
        ledger = _ledger(ground, journal, outcomes, tasks)
        proposals = Proposals(ground.store, ground.policies, ledger, journal, outcomes, ground.redactor, ground.limits)
        inbox = Inbox(ground.store)
        verification = Verification(ground.store, ledger, outcomes, journal, inbox)
        leases = Leases(ground.store, ground.clock, ground.ids.new(), ground.times)
        worker = Worker(ground.store, leases, endings, ground.pulse, tasks, verification.recover, _late(legs))
        office = Office(
            ground.store,
            ground.policies,
            ledger,
            proposals,
            endings,
            journal,
            ground.redactor,
            ground.ids,
            worker.wake,
            ground.failpoints,
        )
        editing = Editing(
            ground.store, ground.policies, ledger, proposals, journal, ground.redactor, ground.ids, ground.limits
        )
        sweep = Sweep(ground.store, journal, endings, ground.clock, ground.limits, worker.wake, ground.sweep_every)
        _ = tasks.spawn(sweep.forever(), name="sweep")
        yield Core(
            approvals=Approvals(
                ground.store,
                ground.policies,
                journal,
                editing,
                ground.impersonation,
                ground.ids,
                ground.limits,
                worker.wake,
            ),
            chat=Chat(ground.store, endings, ground.ids, worker.wake),
            inbox=inbox,
            office=office,
            runs=Runs(ground.store, endings, worker.wake),
            sweep=sweep,
            verification=verification,
        )


def _late(load: Callable[[], Awaitable[Leg]]) -> Leg:
    async def leg(lease: Lease, run: Run) -> None:
        await (await load())(lease, run)

    return leg


def _ledger(ground: Ground, journal: Journal, outcomes: Outcomes, tasks: Tasks) -> Ledger:
    return Ledger(
        store=ground.store,
        tools=ground.tools,
        policies=ground.policies,
        journal=journal,
        outcomes=outcomes,
        impersonation=ground.impersonation,
        bus=ground.bus,
        clock=ground.clock,
        ids=ground.ids,
        limits=ground.limits,
        failpoints=ground.failpoints,
        tasks=tasks,
    )
