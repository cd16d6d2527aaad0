"""Build the services that start, execute, decide and end runs. `container.py` chooses the adapters they use."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from src.api.ports import QueuedRun
from src.api.schemas.records import Run
from src.api.services.approvals.decisions import ApprovalDecisions
from src.api.services.approvals.edits import ApprovalEdits
from src.api.services.approvals.proposals import Proposals
from src.api.services.approvals.queries import ApprovalQueries
from src.api.services.approvals.reconciliation import Reconciliation
from src.api.services.background import BackgroundTasks
from src.api.services.infrastructure import Infrastructure
from src.api.services.lease import Lease
from src.api.services.runs.budgets import Budgets
from src.api.services.runs.completion import RunCompletion
from src.api.services.runs.leases import Leases
from src.api.services.runs.queries import RunService
from src.api.services.runs.queue import QueuePoll
from src.api.services.runs.session import RunDependencies
from src.api.services.runs.submit import RunSubmission
from src.api.services.runs.sweep import Sweep
from src.api.services.runs.worker import ExecuteRun, Recover, Worker
from src.api.services.streaming.journal import Journal
from src.api.services.tools.ledger import Ledger
from src.api.services.tools.results import ResultRecorder

__all__ = ["Core", "open_core"]

SHUTDOWN_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Core:
    """The services that start, decide and end runs."""

    approvals: ApprovalDecisions
    chat: RunSubmission
    inbox: ApprovalQueries
    dependencies: RunDependencies
    runs: RunService
    sweep: Sweep
    verification: Reconciliation


@asynccontextmanager
async def open_core(infra: Infrastructure, load_executor: Callable[[], Awaitable[ExecuteRun]]) -> AsyncIterator[Core]:
    """Run the core until the block ends; then release its runs, and wait for the changes that have been sent.

    `load_executor` may wait for the graph, which is loaded after the port has opened. A process with the role `api`
    offers queued runs to the workers of other processes instead of executing them.
    """
    async with AsyncExitStack() as stack:
        tasks = await stack.enter_async_context(BackgroundTasks(SHUTDOWN_TIMEOUT))
        store, policies, ids, limits = infra.store, infra.policies, infra.ids, infra.limits
        journal = Journal(ids)
        budgets = Budgets(store, policies, journal, infra.clock, limits.budgets)
        completion = RunCompletion(store, journal, ids)
        results = ResultRecorder(store, journal, ids, infra.redactor, limits)
        ledger = _open_ledger(infra, journal, results, tasks)
        proposals = Proposals(store, policies, ledger, journal, results, infra.redactor, limits)
        edits = ApprovalEdits(store, policies, ledger, proposals, journal, infra.redactor, ids, limits)
        queries = ApprovalQueries(store, policies, infra.impersonation, infra.clock)
        reconciliation = Reconciliation(store, ledger, results, journal, queries)
        execute = _load_when_needed(load_executor)
        wake = (
            _offer_to_others(infra)
            if infra.role == "api"
            else await _open_worker(stack, infra, completion, tasks, reconciliation.recover, execute)
        )
        sweep = Sweep(store, journal, completion, infra.clock, limits, wake, infra.sweep_interval)
        _ = tasks.spawn(sweep.run_forever(), name="sweep")
        yield Core(
            approvals=ApprovalDecisions(store, policies, journal, edits, infra.impersonation, ids, limits, wake),
            chat=RunSubmission(store, completion, ids, wake),
            inbox=queries,
            dependencies=RunDependencies(infra, ledger, proposals, completion, journal, budgets, wake),
            runs=RunService(store, completion, wake),
            sweep=sweep,
            verification=reconciliation,
        )


def _offer_to_others(infra: Infrastructure) -> Callable[[str], None]:
    return lambda run_id: infra.bus.offer(QueuedRun(run_id, infra.tracing.trace_parent()))


async def _open_worker(
    stack: AsyncExitStack,
    infra: Infrastructure,
    completion: RunCompletion,
    tasks: BackgroundTasks,
    recover: Recover,
    execute: ExecuteRun,
) -> Callable[[str], None]:
    """Open the worker of this process, and return what makes it claim a queued run."""
    worker = Worker(
        infra.store,
        Leases(infra.store, infra.clock, infra.ids.new(), infra.lease_settings),
        completion,
        infra.watcher,
        tasks,
        recover,
        execute,
        infra.bus.offer,
        infra.slots,
        infra.tracing,
    )
    stack.callback(worker.close)
    await stack.enter_async_context(infra.bus.listen_to_offers(worker.take_offer))
    if infra.role == "worker":
        _ = tasks.spawn(QueuePoll(infra.store, worker, infra.clock).run_forever(), name="queue poll")
    return worker.wake


def _load_when_needed(load: Callable[[], Awaitable[ExecuteRun]]) -> ExecuteRun:
    async def execute(lease: Lease, run: Run) -> None:
        await (await load())(lease, run)

    return execute


def _open_ledger(infra: Infrastructure, journal: Journal, results: ResultRecorder, tasks: BackgroundTasks) -> Ledger:
    return Ledger(
        store=infra.store,
        tools=infra.tools,
        policies=infra.policies,
        journal=journal,
        results=results,
        impersonation=infra.impersonation,
        bus=infra.bus,
        clock=infra.clock,
        ids=infra.ids,
        limits=infra.limits,
        failpoints=infra.failpoints,
        tasks=tasks,
    )
