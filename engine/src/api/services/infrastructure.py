"""The adapters and settings that every service is built on."""

from dataclasses import dataclass, field
from typing import Literal

from skyflo_common.redaction import Redactor
from src.api.ports import Bus, Clock, Ids, NoTracing, Policies, Store, ToolServer, Tracing
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.limits import Limits
from src.api.services.policy.enforcement import DefaultPolicy
from src.api.services.runs.leases import LeaseSettings
from src.api.services.runs.slots import RunSlots
from src.api.services.streaming.watcher import RunWatcher
from src.api.utils.failpoints import Failpoints

__all__ = ["Infrastructure"]


@dataclass(frozen=True, slots=True)
class Infrastructure:
    """What `container.py` opens and passes on to the services. `sweep_interval` is in seconds.

    `role` is the part of the engine that this process runs: `api` executes no runs, `worker` looks for those of others.
    """

    store: Store
    bus: Bus
    tools: ToolServer
    watcher: RunWatcher
    clock: Clock
    ids: Ids
    redactor: Redactor
    failpoints: Failpoints
    limits: Limits
    lease_settings: LeaseSettings
    sweep_interval: float
    impersonation: Impersonation = field(default_factory=Impersonation)
    policies: Policies = field(default_factory=DefaultPolicy)
    tracing: Tracing = field(default_factory=NoTracing)
    role: Literal["all", "api", "worker"] = "all"
    slots: RunSlots = field(default_factory=RunSlots)
