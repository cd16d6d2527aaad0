"""Choose the adapters, open everything the routes use, and close it at shutdown.

Settings, database and bus are opened before the port. What takes seconds to import (MCP, the model's client, LangGraph,
fastapi-users) is loaded afterwards, in the order in which a first chat needs it; only requests that need it wait.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skyflo_common.clock import SystemClock
from skyflo_common.memory import keep_imports
from skyflo_common.redaction import Redactor
from src.api.adapters.bus.local import LocalBus
from src.api.adapters.lazy import Lazy, LazyToolServer, import_in_thread
from src.api.adapters.policy_file import PolicyFile
from src.api.agent.policy_facts import OWN_SERVER
from src.api.application import describe_application
from src.api.config.data_folder import restrict_data_folder
from src.api.config.settings import Settings
from src.api.core import Core, open_core
from src.api.database import is_pooled, open_database
from src.api.endpoints.dependencies import Services
from src.api.environment import open_environment
from src.api.language_models import open_model, title_model, warm_model
from src.api.limit_settings import build_limits
from src.api.mail import open_mailer
from src.api.oidc import open_oidc
from src.api.ports import Bus, Clock, NoTracing, Policies, RateLimiter, Secrets, Store, ToolServer, Tracing
from src.api.probes import backlog_probe, pooler_probe, probes
from src.api.redactor import build_redactor
from src.api.services.accounts.accounts import Accounts
from src.api.services.accounts.api_tokens import ApiTokens
from src.api.services.accounts.failed_logins import FailedLogins
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.accounts.known_devices import KnownDevices
from src.api.services.accounts.mail_links import MailLinks
from src.api.services.accounts.oidc.sign_in import SignIn
from src.api.services.accounts.rate_limits import RateLimits
from src.api.services.accounts.team import Team
from src.api.services.analytics import Analytics
from src.api.services.application import Application
from src.api.services.audit.queries import AuditQueries
from src.api.services.audit.sealing import Sealer, SealKey
from src.api.services.background import BackgroundTasks
from src.api.services.conversations.conversations import Conversations
from src.api.services.conversations.timelines import Timelines
from src.api.services.health import Health, Probe
from src.api.services.infrastructure import Infrastructure
from src.api.services.integrations.access import ConnectedIntegrations
from src.api.services.integrations.credentials import CredentialStore
from src.api.services.integrations.service import Integrations
from src.api.services.policy.audited import AuditedPolicies
from src.api.services.policy.service import PolicyService
from src.api.services.runs.leases import LeaseSettings
from src.api.services.runs.session import RunDependencies
from src.api.services.runs.slots import RunSlots
from src.api.services.runs.titles import TitleGenerator
from src.api.services.runs.worker import ExecuteRun
from src.api.services.streaming.access import StreamAccess
from src.api.services.streaming.feed import LiveFeed
from src.api.services.streaming.limits import MAX_FEEDS, MAX_RUN_STREAMS, StreamLimit
from src.api.services.streaming.stream import RunStreams
from src.api.services.streaming.watcher import RunWatcher
from src.api.services.tools.catalog import ToolCatalog
from src.api.telemetry import create_metrics, observe_tools, serve_metrics
from src.api.tool_servers import connect_tool_servers, find_tool_server
from src.api.utils.failpoints import Failpoints
from src.api.utils.ids import Uuid7
from src.api.utils.shutdown import shutdown_event

if TYPE_CHECKING:
    from src.api.adapters.checkpointer import Checkpointer
    from src.api.adapters.metrics.prometheus import PrometheusMetrics
    from src.api.adapters.model.selection import ModelAdapter
    from src.api.adapters.tools.parent_process import ParentProcess

__all__ = ["open_services"]

logger = logging.getLogger(__name__)


@asynccontextmanager
async def open_services(
    user_settings: Settings, tracing: Tracing | None = None, parent: "ParentProcess | None" = None
) -> AsyncIterator[Services]:
    """Open all services until the block ends. Raises `SettingsError` if the settings don't allow a start."""
    async with AsyncExitStack() as stack:
        clock, redactor = SystemClock(), build_redactor(user_settings)
        resolved = await stack.enter_async_context(open_environment(user_settings, clock, redactor))
        settings = resolved.settings
        _warn_about_proxies(settings)
        restrict_data_folder(settings.data_dir)
        servers = Lazy(
            lambda: connect_tool_servers(
                lazy_stack, settings, child, ConnectedIntegrations(store, secrets, clock), redactor
            )
        )
        policies = PolicyFile(*_policy_file(settings), clock)
        pooled = await is_pooled(settings)
        feeds, run_streams, slots = StreamLimit(MAX_FEEDS), StreamLimit(MAX_RUN_STREAMS), RunSlots()
        open_streams = {"run": lambda: run_streams.open, "feed": lambda: feeds.open}
        metrics = create_metrics(settings, open_streams, lambda: slots.taken)
        infra = await _open_infrastructure(
            stack,
            settings,
            clock,
            redactor,
            LazyToolServer(servers),
            policies,
            metrics,
            tracing or NoTracing(),
            slots,
            pooled=pooled,
        )
        store, ids = infra.store, infra.ids
        stream_access = await stack.enter_async_context(StreamAccess(store, clock))
        lazy_stack = await stack.enter_async_context(AsyncExitStack())
        child = await find_tool_server(lazy_stack, resolved, clock, redactor, parent)
        tasks = await stack.enter_async_context(BackgroundTasks(shutdown_timeout=0))
        mail_links = MailLinks(tasks, settings.public_url, open_mailer(settings), log_links=settings.local_mode)
        failed_logins = FailedLogins(store, tasks, clock)
        secrets: Lazy[Secrets] = Lazy(lambda: _open_secrets(lazy_stack, settings, store))
        credentials = CredentialStore(store, secrets, ids, clock, settings.run_sweep_seconds)
        _ = tasks.spawn(credentials.run_forever(), name="credentials")
        accounts: Lazy[Accounts] = Lazy(lambda: _load_accounts(settings, infra, mail_links, failed_logins))
        open_sign_in: Lazy[SignIn] = Lazy(lambda: open_oidc(lazy_stack, settings, store, clock, ids, accounts))
        oidc = open_sign_in if settings.oidc_issuer else None
        rates = Lazy(lambda: _open_rates(lazy_stack, settings))
        model = Lazy(lambda: open_model(lazy_stack, settings, settings.llm_model))
        checkpointer = Lazy(lambda: _open_checkpointer(lazy_stack, settings))
        executor: Lazy[ExecuteRun] = Lazy(
            lambda: _load_executor(lazy_stack, settings, core.dependencies, model, checkpointer, tasks)
        )
        core = await stack.enter_async_context(open_core(infra, executor))
        _start_sealer(tasks, settings, store, clock)
        tools = _tool_catalog(infra)
        services = _services(
            settings,
            infra,
            core,
            stream_access=stream_access,
            feed=await stack.enter_async_context(LiveFeed(store, infra.bus, clock, core.inbox.counts)),
            feeds=feeds,
            run_streams=run_streams,
            shutdown=stack.enter_context(shutdown_event()),
            accounts=accounts,
            oidc=oidc,
            rates=rates,
            tools=tools,
            application=Application(store, describe_application(resolved)),
            integrations=Integrations(store, ids, credentials, secrets, redactor),
            dependency_probes={
                **pooler_probe(settings, clock, pooled=pooled),
                **backlog_probe(settings, store, clock),
                **probes(resolved, infra.bus, policies, servers, tools, checkpointer, model, secrets, oidc),
            },
        )
        of_runs, warming = (model, checkpointer, executor), Lazy(lambda: warm_model(model))
        await stack.enter_async_context(_loading(*_needed_parts(settings, rates, servers, of_runs, accounts, warming)))
        for part in (accounts.cancel, secrets.cancel, *([oidc.cancel] if oidc else [])):
            stack.push_async_callback(part)
        yield services


def _needed_parts(
    settings: Settings,
    rates: Lazy[Any],
    servers: Lazy[Any],
    of_runs: Sequence[Lazy[Any]],
    accounts: Lazy[Any],
    warming: Lazy[Any],
) -> list[Lazy[Any]]:
    """Return what this process loads after its port is open, in the order in which a first chat needs it."""
    serves, executes = settings.engine_role != "worker", settings.engine_role != "api"
    limiting = [rates] if serves and settings.rate_limiting_enabled else []
    # In local mode nearly no request signs in, so the 7 MB of fastapi-users are loaded only on demand.
    sign_in = [accounts] if serves and not settings.local_mode else []
    return [*limiting, servers, *(of_runs if executes else ()), *sign_in, *([warming] if executes else ())]


def _start_sealer(tasks: BackgroundTasks, settings: Settings, store: Store, clock: Clock) -> None:
    sealer = Sealer(store, clock, SealKey(settings.audit_secret), settings.audit_seal_seconds)
    _ = tasks.spawn(sealer.run_forever(), name="sealer")


def _warn_about_proxies(settings: Settings) -> None:
    if settings.rate_limiting_enabled and not settings.local_mode and not settings.trusted_proxies:
        logger.warning(
            "TRUSTED_PROXIES is not set. Behind a reverse proxy, all clients that have not signed in share one rate "
            "limit until it names the proxy's address or network.",
            extra={"action": "rates.no_proxies"},
        )


async def _open_infrastructure(
    stack: AsyncExitStack,
    settings: Settings,
    clock: Clock,
    redactor: Redactor,
    tools: ToolServer,
    policies: Policies,
    metrics: "PrometheusMetrics | None",
    tracing: Tracing,
    slots: RunSlots,
    *,
    pooled: bool,
) -> Infrastructure:
    failpoints = Failpoints.from_environment(settings.environment)
    bus = await _open_bus(stack, settings, clock)
    store = await stack.enter_async_context(open_database(settings, bus, failpoints, pooled=pooled, metrics=metrics))
    await stack.enter_async_context(serve_metrics(settings, metrics, store, clock))
    watcher = await stack.enter_async_context(RunWatcher(store, bus, clock))
    return Infrastructure(
        store=store,
        bus=bus,
        tools=observe_tools(tools, metrics, tracing, clock),
        watcher=watcher,
        clock=clock,
        ids=Uuid7(),
        redactor=redactor,
        failpoints=failpoints,
        limits=build_limits(settings),
        lease_settings=LeaseSettings(settings.run_lease_seconds, settings.run_max_restarts),
        sweep_interval=settings.run_sweep_seconds,
        impersonation=Impersonation(frozenset({OWN_SERVER}) if settings.kubernetes_impersonate else frozenset()),
        policies=AuditedPolicies(policies, store),
        tracing=tracing,
        role=settings.engine_role,
        slots=slots,
    )


async def _open_checkpointer(stack: AsyncExitStack, settings: Settings) -> "Checkpointer":
    await import_in_thread("src.api.adapters.checkpointer")
    from src.api.adapters.checkpointer import open_checkpointer

    return await stack.enter_async_context(open_checkpointer(*settings.checkpoints))


async def _load_executor(
    stack: AsyncExitStack,
    settings: Settings,
    dependencies: RunDependencies,
    model: "Lazy[ModelAdapter]",
    checkpointer: "Lazy[Checkpointer]",
    tasks: BackgroundTasks,
) -> ExecuteRun:
    """Load the graph and what it runs with. LangGraph takes seconds to import, so this happens after the port opens."""
    await import_in_thread("src.api.services.runs.executor")
    from src.api.agent.graph import build_graph
    from src.api.services.runs.executor import ModelChoice, RunExecutor

    saver = await checkpointer()

    async def load_model() -> ModelChoice:
        return ModelChoice(
            await model(), settings.llm_model, settings.llm_temperature, turn_timeout=settings.llm_turn_seconds
        )

    titles_model = title_model(stack, settings, model)
    watcher = dependencies.infra.watcher
    titles = None if titles_model is None else TitleGenerator(dependencies, watcher, tasks, titles_model)
    return RunExecutor(dependencies, build_graph(saver), saver, load_model, titles)


def _services(
    settings: Settings,
    infra: Infrastructure,
    core: Core,
    *,
    stream_access: StreamAccess,
    feed: LiveFeed,
    feeds: StreamLimit,
    run_streams: StreamLimit,
    application: Application,
    shutdown: asyncio.Event,
    accounts: Lazy[Accounts],
    oidc: Lazy[SignIn] | None,
    rates: Lazy[RateLimiter],
    tools: ToolCatalog,
    integrations: Integrations,
    dependency_probes: Mapping[str, Probe],
) -> Services:
    return Services(
        settings=settings,
        accounts=accounts,
        analytics=Analytics(infra.store, infra.clock),
        application=application,
        approvals=core.approvals,
        stream_access=stream_access,
        budgets=core.dependencies.budgets,
        audit=AuditQueries(infra.store, infra.clock, SealKey(settings.audit_secret)),
        chat=core.chat,
        closing=shutdown,
        conversations=Conversations(infra.store, infra.ids, core.dependencies.completion),
        devices=KnownDevices(settings.secret),
        feed=feed,
        feeds=feeds,
        health=Health(infra.store, infra.clock, dependency_probes),
        inbox=core.inbox,
        integrations=integrations,
        oidc=oidc,
        policy=PolicyService(infra.store, infra.policies, tools, infra.clock),
        rates=RateLimits(rates, settings.rate_limit_per_minute if settings.rate_limiting_enabled else None),
        runs=core.runs,
        run_streams=run_streams,
        streams=RunStreams(infra.store, infra.bus, infra.watcher, infra.clock),
        team=Team(infra.store, infra.ids, accounts, core.sweep.stop_removed),
        timelines=Timelines(infra.store, core.inbox),
        tokens=ApiTokens(infra.store, infra.ids, infra.clock),
        tools=tools,
        trusted_proxies=tuple(ip_network(one) for one in settings.trusted_proxies),
        verification=core.verification,
    )


def _tool_catalog(infra: Infrastructure) -> ToolCatalog:
    return ToolCatalog(
        infra.tools.tools, infra.tools.omitted, infra.store, infra.policies, infra.clock, infra.limits.tool_budget
    )


def _policy_file(settings: Settings) -> tuple[Path, bool]:
    """Return the policy file's path, and whether the file must exist."""
    return settings.policy_file or settings.data_dir / "policy.yaml", settings.policy_file is not None


async def _open_bus(stack: AsyncExitStack, settings: Settings, clock: Clock) -> Bus:
    if settings.redis_url is None:
        return LocalBus(clock)
    from src.api.adapters.bus.redis import RedisBus

    return await stack.enter_async_context(RedisBus(settings.redis_url, clock))


async def _open_rates(stack: AsyncExitStack, settings: Settings) -> RateLimiter:
    await import_in_thread("src.api.adapters.rate_limits")
    from src.api.adapters.rate_limits import FallbackRateLimiter

    rates = FallbackRateLimiter(settings.redis_url)
    stack.push_async_callback(rates.aclose)
    return rates


async def _open_secrets(stack: AsyncExitStack, settings: Settings, store: Store) -> Secrets:
    await import_in_thread("src.api.adapters.secrets.factory")
    from src.api.adapters.secrets.factory import open_secrets

    return await stack.enter_async_context(open_secrets(settings, store))


async def _load_accounts(
    settings: Settings, infra: Infrastructure, mail_links: MailLinks, failed_logins: FailedLogins
) -> Accounts:
    await import_in_thread("src.api.services.accounts.auth")
    from src.api.services.accounts.access_tokens import AccessTokens
    from src.api.services.accounts.auth import Auth

    return Auth(
        infra.store,
        infra.ids,
        signing=AccessTokens(settings.secret, settings.jwt_algorithm, settings.jwt_access_token_expire_minutes * 60),
        mail_links=mail_links,
        failed=failed_logins,
        refresh_days=settings.jwt_refresh_token_expire_days,
        registration_enabled=settings.registration_enabled,
    )


@asynccontextmanager
async def _loading(*parts: Lazy[Any]) -> AsyncIterator[None]:
    """Load the parts one by one in the background. A part that fails to load raises for every caller that needs it."""

    async def load() -> None:
        for part in parts:
            await part.loaded()
        keep_imports()

    task = asyncio.create_task(load(), name="loading")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, *(part.cancel() for part in parts), return_exceptions=True)
