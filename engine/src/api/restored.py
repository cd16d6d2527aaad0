"""`skyflo restored`: close what a database shows as open that was restored from a backup, before an engine starts."""

import asyncio
import logging
import sys

from skyflo_common.clock import SystemClock
from src.api.adapters.bus.local import LocalBus
from src.api.config.settings import Settings, SettingsError
from src.api.database import is_pooled, open_database
from src.api.errors import EngineError
from src.api.host_settings import load_host_settings
from src.api.limit_settings import build_limits
from src.api.ports import Store
from src.api.redactor import build_redactor
from src.api.services.runs.completion import RunCompletion
from src.api.services.runs.leases import Leases, LeaseSettings
from src.api.services.runs.restore import RestoreRecovery, RestoreReport
from src.api.services.runs.sweep import Sweep
from src.api.services.streaming.journal import Journal
from src.api.services.tools.results import ResultRecorder
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7

__all__ = ["build_recovery", "main"]

_REPORT = (
    "Ended {runs} runs and {approvals} open approvals. {executions} changes were under way; their outcome is unknown: "
    "verify them."
)


def main() -> int:
    """Close everything that is open, and return the exit code."""
    logging.basicConfig(level=logging.WARNING)
    try:
        report = asyncio.run(_recover(load_host_settings()))
    except (SettingsError, EngineError) as error:
        print(f"skyflo restored: {error}", file=sys.stderr)
        return 1
    print(_REPORT.format(runs=report.runs, approvals=report.approvals, executions=report.executions))
    return 0


async def _recover(settings: Settings) -> RestoreReport:
    bus, pooled = LocalBus(SystemClock()), await is_pooled(settings)
    async with open_database(settings, bus, Failpoints(), pooled=pooled) as store:
        return await build_recovery(settings, store).run()


def build_recovery(settings: Settings, store: Store) -> RestoreRecovery:
    """Build the recovery on a store, without an engine around it."""
    ids, clock, limits = Uuid7(), SystemClock(), build_limits(settings)
    journal = Journal(ids)
    completion = RunCompletion(store, journal, ids)
    leases = Leases(store, clock, ids.new(), LeaseSettings(settings.run_lease_seconds, settings.run_max_restarts))
    results = ResultRecorder(store, journal, ids, build_redactor(settings), limits)
    sweep = Sweep(store, journal, completion, clock, limits, lambda _: None, settings.run_sweep_seconds)
    return RestoreRecovery(store, leases, completion, results, sweep)
