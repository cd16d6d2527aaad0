"""The only place that chooses adapters and owns lifetimes.

What must be there before the first request is opened before the port: settings, database, bus. What takes seconds to
import (MCP, the model's client, LangGraph, fastapi-users) is loaded behind it, in the order in which a first chat needs
it, and waited for only by those who need it.
"""

import asyncio
import gc
import hashlib
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from src.api.adapters.bus.local import LocalBus
from src.api.adapters.late import Late, LateTools, imported
from src.api.adapters.policy_file import PolicyFile
from src.api.adapters.store.migrations import migrate, pending
from src.api.adapters.store.store import open_store
from src.api.adapters.tools.child import Launch, ToolChild
from src.api.adapters.tools.configured import configured_servers
from src.api.agent.policy_facts import OURS
from src.api.config.settings import Settings, SettingsError
from src.api.core import Core, Ground, open_core
from src.api.endpoints.dependencies import Services
from src.api.letters import mail_of
from src.api.llm import open_model, title_model, warm_model
from src.api.oidc import open_oidc
from src.api.ports import Bus, Clock, Ids, Policies, RateLimiter, Secrets, Store, ToolServer
from src.api.probes import probes
from src.api.services.accounts import Accounts
from src.api.services.acting import Impersonation
from src.api.services.analytics import Analytics
from src.api.services.audience import Audience
from src.api.services.audit import Audit
from src.api.services.conversations import Conversations
from src.api.services.desk import Office
from src.api.services.failures import FailedLogins
from src.api.services.health import Health, Probe
from src.api.services.integrations import Integrations
from src.api.services.keeping import Keeping
from src.api.services.leases import LeaseTimes
from src.api.services.mailing import Mailing
from src.api.services.policies import PolicyBook
from src.api.services.pulse import Pulse
from src.api.services.rates import RateLimits
from src.api.services.sealer import Sealer
from src.api.services.seals import SealKey
from src.api.services.settings import Limits
from src.api.services.signin import SignIn
from src.api.services.stream import Streams
from src.api.services.tasks import Tasks
from src.api.services.team import Team
from src.api.services.titles import Titles
from src.api.services.tokens import Tokens
from src.api.services.told import ToldPolicies
from src.api.services.tools import Tools
from src.api.services.worker import Leg
from src.api.standing import Standing, open_standing
from src.api.utils.clock import SystemClock
from src.api.utils.closing import closing_event
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7
from src.api.utils.redaction import Redactor, is_secret_name

if TYPE_CHECKING:
    from src.api.adapters.checkpointer import Checkpointer
    from src.api.adapters.model.choice import ModelAdapter
    from src.api.adapters.tools.mcp import McpToolServers

__all__ = ["open_services"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class World:
    """What every service stands on."""

    settings: Settings
    clock: Clock
    ids: Ids
    bus: Bus
    store: Store
    pulse: Pulse
    audience: Audience
    tools: ToolServer
    policies: Policies
    redactor: Redactor
    failpoints: Failpoints


@asynccontextmanager
async def open_services(asked: Settings) -> AsyncIterator[Services]:
    """Everything that the routes use, open until the block ends. Raises `SettingsError` when the start is refused."""
    async with AsyncExitStack() as stack:
        clock, ids = SystemClock(), Uuid7()
        redactor = _redactor(asked)
        standing = await stack.enter_async_context(open_standing(asked, clock, redactor))
        settings = standing.settings
        failpoints = Failpoints.from_environment(settings.environment)
        bus = await _open_bus(stack, settings, clock)
        store = await _open_store(stack, settings, bus, failpoints)
        pulse = await stack.enter_async_context(Pulse(store, bus, clock))
        audience = await stack.enter_async_context(Audience(store, clock))
        later = await stack.enter_async_context(AsyncExitStack())
        child = await _start_child(later, standing, clock, redactor)
        servers = Late(lambda: _open_tools(later, settings, clock, redactor, child))
        policies = PolicyFile(*_policy_file(settings), clock)
        world = World(
            settings,
            clock,
            ids,
            bus,
            store,
            pulse,
            audience,
            LateTools(servers),
            ToldPolicies(policies, store),
            redactor,
            failpoints,
        )
        tasks = await stack.enter_async_context(Tasks(patience=0))
        mailing, failed = Mailing(tasks, settings.public_url, mail_of(settings)), FailedLogins(store, tasks, clock)
        secrets: Late[Secrets] = Late(lambda: _open_secrets(later, world))
        keeping = Keeping(store, secrets, ids, clock, settings.run_sweep_seconds)
        _ = tasks.spawn(keeping.forever(), name="credentials")
        accounts: Late[Accounts] = Late(lambda: _load_accounts(world, mailing, failed))
        oidc = Late(lambda: open_oidc(later, settings, store, clock, ids, accounts)) if settings.oidc_issuer else None
        rates = Late(lambda: _open_rates(later, settings))
        model = Late(lambda: open_model(later, settings, settings.llm_model))
        checkpointer = Late(lambda: _open_checkpointer(later, settings))
        legs: Late[Leg] = Late(lambda: _load_legs(later, world, core.office, model, checkpointer, tasks))
        core = await stack.enter_async_context(open_core(_ground(world), legs))
        sealer = Sealer(store, clock, SealKey(settings.audit_secret), settings.audit_seal_seconds)
        _ = tasks.spawn(sealer.forever(), name="sealer")
        closing = stack.enter_context(closing_event())
        asked_of = probes(standing, bus, policies, servers, checkpointer, model, secrets, oidc)
        integrations = Integrations(store, ids, keeping, secrets, redactor)
        services = _services(world, core, closing, accounts, oidc, rates, integrations, asked_of)
        warm = Late(lambda: warm_model(model))
        # Nobody signs in where the local admin needs not to: 7 MB that are loaded when somebody does all the same.
        signing_in = () if settings.local_mode else (accounts,)
        limiting = (rates,) if settings.rate_limiting_enabled else ()
        await stack.enter_async_context(_loading(*limiting, servers, model, checkpointer, legs, *signing_in, warm))
        for part in (accounts.cancel, secrets.cancel, *([oidc.cancel] if oidc else [])):
            stack.push_async_callback(part)
        yield services


def _ground(world: World) -> Ground:
    settings = world.settings
    return Ground(
        store=world.store,
        bus=world.bus,
        tools=world.tools,
        pulse=world.pulse,
        clock=world.clock,
        ids=world.ids,
        redactor=world.redactor,
        failpoints=world.failpoints,
        limits=Limits(
            approve_within=settings.approve_within_seconds,
            execute_within=settings.execute_within_seconds,
            max_turns=settings.llm_max_iterations,
            max_auto_continue=settings.max_auto_continue_turns,
        ),
        times=LeaseTimes(settings.run_lease_seconds, settings.run_max_restarts),
        sweep_every=settings.run_sweep_seconds,
        impersonation=Impersonation(frozenset({OURS}) if settings.kubernetes_impersonate else frozenset()),
        policies=world.policies,
    )


async def _open_checkpointer(stack: AsyncExitStack, settings: Settings) -> "Checkpointer":
    await imported("src.api.adapters.checkpointer")
    from src.api.adapters.checkpointer import open_checkpointer

    return await stack.enter_async_context(open_checkpointer(*settings.checkpoints))


async def _load_legs(
    stack: AsyncExitStack,
    world: World,
    office: Office,
    model: "Late[ModelAdapter]",
    checkpointer: "Late[Checkpointer]",
    tasks: Tasks,
) -> Leg:
    """The graph and what it runs with: LangGraph takes seconds to import, so it comes once the port is open."""
    await imported("src.api.services.legs")
    from src.api.agent.graph import build_graph
    from src.api.services.legs import Legs, ModelChoice

    settings = world.settings
    saver = await checkpointer()

    async def choice() -> ModelChoice:
        return ModelChoice(await model(), settings.llm_model, settings.llm_temperature)

    ground = (world.bus, world.clock, world.ids)
    limits = _ground(world).limits
    naming = title_model(stack, settings, model)
    titles = None if naming is None else Titles(office, world.pulse, tasks, naming)
    return Legs(office, build_graph(saver), saver, choice, *ground, limits, titles)


def _services(
    world: World,
    core: Core,
    closing: asyncio.Event,
    accounts: Late[Accounts],
    oidc: Late[SignIn] | None,
    rates: Late[RateLimiter],
    integrations: Integrations,
    probes: Mapping[str, Probe],
) -> Services:
    settings = world.settings
    tools = Tools(world.tools.tools, world.store, world.policies, world.clock)
    return Services(
        settings=settings,
        accounts=accounts,
        analytics=Analytics(world.store, world.clock),
        approvals=core.approvals,
        audience=world.audience,
        audit=Audit(world.store, world.clock, SealKey(settings.audit_secret)),
        chat=core.chat,
        closing=closing,
        conversations=Conversations(world.store, world.ids, core.office.endings),
        health=Health(world.store, world.clock, probes),
        inbox=core.inbox,
        integrations=integrations,
        oidc=oidc,
        policy=PolicyBook(world.store, world.policies, tools, world.clock),
        rates=RateLimits(rates, settings.rate_limit_per_minute if settings.rate_limiting_enabled else None),
        runs=core.runs,
        streams=Streams(world.store, world.bus, world.pulse, world.clock),
        team=Team(world.store, world.ids, accounts, core.sweep.stop_removed),
        tokens=Tokens(world.store, world.ids, world.clock),
        tools=tools,
        trusted_proxies=tuple(ip_network(one) for one in settings.trusted_proxies),
        verification=core.verification,
    )


def _policy_file(settings: Settings) -> tuple[Path, bool]:
    """Which file, and whether it must be there."""
    return settings.policy_file or settings.data_dir / "policy.yaml", settings.policy_file is not None


async def _open_bus(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Bus:
    if settings.redis_url is None:
        return LocalBus(clock)
    from src.api.adapters.bus.redis import RedisBus

    return await stack.enter_async_context(RedisBus(settings.redis_url, clock))


async def _open_store(stack: AsyncExitStack, settings: Settings, bus: Bus, failpoints: Failpoints) -> Store:
    """The embedded database is brought up to date; any other must be already, for others may be using it."""
    url = settings.database_url
    if settings.embedded:
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        await migrate(url)
    elif missing := await pending(url):
        lacking = ", ".join(missing)
        raise SettingsError([f"POSTGRES_DATABASE_URL: the database lacks {lacking}; run: aerich upgrade"])

    def committed(runs: frozenset[str]) -> None:
        for run_id in runs:
            bus.ring(run_id)

    pooled = settings.db_pooler == "transaction"
    return await stack.enter_async_context(open_store(url, committed=committed, failpoints=failpoints, pooled=pooled))


def _redactor(settings: Settings) -> Redactor:
    """Its key follows from the secret that all replicas share, so that they mask a value alike."""
    key = hashlib.sha256(b"fingerprints of masked values:" + settings.secret.encode()).digest()
    secrets = [value for name, value in settings.environment.items() if is_secret_name(name)]
    sealing = [key.get_secret_value() for key in settings.credentials_key]
    return Redactor(key, [settings.secret, *secrets, *sealing])


async def _start_child(stack: AsyncExitStack, standing: Standing, clock: Clock, redactor: Redactor) -> ToolChild | None:
    """Our own tool server, where no other is named. It starts beside us, on another core."""
    settings = standing.settings
    if settings.mcp_server_url:
        return None
    launch = Launch(
        settings.data_dir,
        settings.environment,
        settings.postgres_database_url,
        impersonate=settings.kubernetes_impersonate,
        sandbox=standing.sandbox_cluster,
    )
    return await stack.enter_async_context(ToolChild(launch, clock, redactor))


async def _open_tools(
    stack: AsyncExitStack, settings: Settings, clock: Clock, redactor: Redactor, child: ToolChild | None
) -> "McpToolServers":
    await imported("src.api.adapters.tools.mcp")
    from src.api.adapters.tools.mcp import McpToolServers

    servers = await stack.enter_async_context(
        McpToolServers(configured_servers(settings, child, OURS), clock, redactor)
    )
    if child is not None:
        child.changed = servers.wake
    return servers


async def _open_rates(stack: AsyncExitStack, settings: Settings) -> RateLimiter:
    await imported("src.api.adapters.rates")
    from src.api.adapters.rates import Rates

    rates = Rates(settings.redis_url)
    stack.push_async_callback(rates.aclose)
    return rates


async def _open_secrets(stack: AsyncExitStack, world: World) -> Secrets:
    await imported("src.api.adapters.secrets.opening")
    from src.api.adapters.secrets.opening import open_secrets

    return await stack.enter_async_context(open_secrets(world.settings, world.store))


async def _load_accounts(world: World, mailing: Mailing, failed: FailedLogins) -> Accounts:
    await imported("src.api.services.auth")
    from src.api.services.auth import Auth
    from src.api.services.signing import Signing

    settings = world.settings
    return Auth(
        world.store,
        world.ids,
        signing=Signing(settings.secret, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes * 60),
        mailing=mailing,
        failed=failed,
        refresh_days=settings.jwt_refresh_token_expire_days,
        registration_enabled=settings.registration_enabled,
    )


@asynccontextmanager
async def _loading(*parts: Late[Any]) -> AsyncIterator[None]:
    """Loads the parts one after the other, in the background. What can't be loaded says so to whoever needs it."""

    async def load() -> None:
        for part in parts:
            await part.loaded()
        # Imports leave megabytes of cycles behind, and nothing else would collect them while the engine is idle.
        gc.collect()

    task = asyncio.create_task(load(), name="loading")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, *(part.cancel() for part in parts), return_exceptions=True)
