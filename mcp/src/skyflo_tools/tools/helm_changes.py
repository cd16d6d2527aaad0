"""The tools helm_install, helm_upgrade, helm_rollback and helm_uninstall: change a release by the helm binary."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

from skyflo_tools.errors import InvalidArguments
from skyflo_tools.helm.binary import HelmFailed, HelmFolder, open_folder, refuse_flags
from skyflo_tools.helm.changes import CHART, HelmRun, ReleaseNow, check_pinned, pin, read_now
from skyflo_tools.helm.charts import ChartReference, ChartVersion, FetchedChart, fetch_chart
from skyflo_tools.helm.custom_kinds import CustomKinds, sort_custom_kinds
from skyflo_tools.helm.given_values import GivenValues, parse_values, write_values
from skyflo_tools.helm.kubeconfig_file import write_kubeconfig
from skyflo_tools.helm.manifests import parse_objects
from skyflo_tools.helm.release import Release
from skyflo_tools.helm.release_store import ReleaseStore
from skyflo_tools.helm.templates import NOTE, capability_flags, render_template
from skyflo_tools.plan import Plan
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext, ChangeTool, ToolInfo
from skyflo_tools.tools.helm_arguments import HELM_TAGS, ReleaseArguments, check_release_name, store_in
from skyflo_tools.tools.helm_plans import ReleaseChange, read_current, rendered_release

PREVIEW_SECONDS = 100.0
RUN_SECONDS = 360.0
MAX_TIMEOUT = 300
NO_KIND = "no matches for kind"

Timeout = Annotated[int, Field(default=120, ge=5, le=MAX_TIMEOUT, description="For hooks and wait.")]
Wait = Annotated[bool, Field(default=False, description="Wait until all is ready.")]
Force = Annotated[bool, Field(default=False, description="Take over fields of other managers.")]


class InstallArguments(ReleaseArguments):
    chart: ChartReference
    version: ChartVersion
    values: GivenValues
    wait: Wait
    timeout_seconds: Timeout


class UpgradeArguments(InstallArguments):
    values_mode: Annotated[
        Literal["merge", "replace"],
        Field(default="merge", description="Keep the other values, or replace all."),
    ]
    force: Force


class RollbackArguments(ReleaseArguments):
    revision: Annotated[int, Field(ge=1, le=999_999_999, description="As in helm_history.")]
    wait: Wait
    force: Force
    timeout_seconds: Timeout


class UninstallArguments(ReleaseArguments):
    wait: Wait
    timeout_seconds: Timeout


def _open(arguments: ReleaseArguments, call: CallContext) -> ReleaseStore:
    cluster = call.services.clusters.choose_writable(arguments.cluster)
    store = store_in(cluster, arguments.namespace, call)
    check_release_name(arguments.name)
    refuse_flags(namespace=store.namespace)
    return store


async def install(arguments: InstallArguments, call: CallContext) -> Plan:
    store = _open(arguments, call)
    now = await read_now(store, arguments.name)
    if now.latest is not None and not call.pinned_values:
        hint = "use helm_upgrade, or helm_uninstall first"
        raise InvalidArguments(f"the release {arguments.name} exists: {now}", hint=hint)
    change = ReleaseChange("install", arguments.name, store, call)
    command = ChartCommand(arguments, store, now, "install", ())
    return await command.plan(change, None, server_side=True, force=False)


async def upgrade(arguments: UpgradeArguments, call: CallContext) -> Plan:
    store = _open(arguments, call)
    current, now = await read_current(store, arguments.name)
    change = ReleaseChange("upgrade", arguments.name, store, call)
    mode = "--reset-values" if arguments.values_mode == "replace" else "--reset-then-reuse-values"
    flags = (mode, "--force-conflicts") if arguments.force else (mode,)
    command = ChartCommand(arguments, store, now, "upgrade", flags)
    return await command.plan(change, current, server_side=None, force=arguments.force)


class ChartCommand:
    """The command line of an installation or an upgrade, for its dry runs and for the run itself."""

    def __init__(
        self, arguments: InstallArguments, store: ReleaseStore, now: ReleaseNow, verb: str, flags: Sequence[str]
    ) -> None:
        self.arguments, self.store, self.now, self.verb, self.flags = arguments, store, now, verb, flags

    async def plan(
        self, change: ReleaseChange, current: Release | None, *, server_side: bool | None, force: bool
    ) -> Plan:
        """Render the chart twice by helm's own dry run, and describe what the second one shows."""
        arguments, call = self.arguments, change.call
        async with open_folder(call.services.helm.settings) as folder:
            chart, line = await self._prepare(folder, call)
            pinned = pin(self.verb, self.store, arguments.name, self.now, chart.digest)
            check_pinned(call.pinned_values, pinned)
            kinds = await self._read_kinds(folder, chart, call)
            (first, note), (second, _) = [await self._render(folder, line, chart, kinds, call) for _ in range(2)]
        by_server = first.apply_method == "ssa" if server_side is None else server_side
        described = await change.describe(current, first, second, by_server, force, kinds)
        start = f" from revision {self.now.revision} ({current.chart_name})" if current else ""
        what = f"Helm release {arguments.name} in {self.store.namespace}{start}"
        words = {"install": ("Install", "as"), "upgrade": ("Upgrade", "to")}[self.verb]
        return Plan(
            writes=described.writes,
            summary=f"{words[0]} {what} {words[1]} {first.chart_name}",
            done_summary=f"{words[0]}ed {what} {words[1]} {first.chart_name}; helm_status shows its objects",
            risk=described.risk,
            warnings=(*described.warnings, *note),
            pinned_values=pinned,
            own_diff=described.own_diff,
            changes_more=described.changes_more or not self.now.is_deployed,
            manager=f"the Helm release {arguments.name}",
            run=lambda: self._run(call, chart.digest),
        )

    async def _prepare(self, folder: HelmFolder, call: CallContext) -> tuple[FetchedChart, list[str]]:
        """Get the chart, and return it with the command line that uses it."""
        arguments, store = self.arguments, self.store
        await write_kubeconfig(folder, store.cluster, store.namespace, call.identity)
        chart = await fetch_chart(arguments.chart, arguments.version, folder, call.services.helm.repositories)
        values = await write_values(arguments.values, folder, call)
        flags = [f"--namespace={store.namespace}", f"--timeout={arguments.timeout_seconds}s", *self.flags, *values]
        flags += ["--wait"] if arguments.wait else []
        return chart, [self.verb, "--output=json", *flags, "--", arguments.name, str(chart.path)]

    async def _read_kinds(self, folder: HelmFolder, chart: FetchedChart, call: CallContext) -> CustomKinds:
        """Return the kinds that the chart brings. Helm creates them at an installation only."""
        text = await folder.run("show", "crds", str(chart.path)) if self.verb == "install" else ""
        definitions = await parse_objects(text, self.store.namespace, f"the CRDs of {self.arguments.chart}")
        return await sort_custom_kinds(definitions, self.store.cluster, call.identity)

    async def _render(
        self, folder: HelmFolder, line: Sequence[str], chart: FetchedChart, kinds: CustomKinds, call: CallContext
    ) -> tuple[Release, list[str]]:
        """Render the chart by helm's own dry run, or without it where that fails on kinds that the chart brings."""
        try:
            output = await folder.run(line[0], "--dry-run=server", *line[1:])
            return rendered_release(output, self.store.namespace), []
        except HelmFailed as error:
            if not kinds.new or NO_KIND not in error.message:
                raise
        capabilities = await capability_flags(self.store.cluster, kinds, call.identity)
        release = await render_template(folder, chart, line, self.arguments.name, capabilities)
        given = parse_values(self.arguments.values)
        return release.model_copy(update={"namespace": self.store.namespace, "config": given}), [NOTE]

    async def _run(self, call: CallContext, digest: str) -> Sequence[str]:
        """Get the chart again, compare its digest, and run helm once with it."""
        async with open_folder(call.services.helm.settings) as folder:
            chart, line = await self._prepare(folder, call)
            check_pinned({CHART: digest}, {CHART: chart.digest})
            run = HelmRun(self.verb, self.arguments.name, self.store, self.now, call.effects)
            await run.run(folder, line, self.arguments.timeout_seconds)
        self.store.cluster.discovery.expire()
        return ()


async def rollback(arguments: RollbackArguments, call: CallContext) -> Plan:
    store = _open(arguments, call)
    current, now = await read_current(store, arguments.name, deployed_only=False)
    target, _ = await store.read_revision(arguments.name, arguments.revision)
    if arguments.revision == now.revision and now.latest and now.latest.status == "deployed":
        raise InvalidArguments(f"revision {arguments.revision} is the present one", hint="helm_history lists all")
    pinned = pin("rollback", store, arguments.name, now)
    check_pinned(call.pinned_values, pinned)
    change = ReleaseChange("rollback", arguments.name, store, call)
    by_server = target.apply_method == "ssa"
    described = await change.describe(current, target, target, by_server, arguments.force)
    what = f"Helm release {arguments.name} in {store.namespace}"
    flags = ["--wait"] if arguments.wait else []
    flags += ["--force-conflicts"] if arguments.force else []
    line = ["rollback", *flags, "--", arguments.name, str(arguments.revision)]
    return Plan(
        writes=described.writes,
        summary=f"Roll back {what} from revision {now.revision} to {arguments.revision} ({target.chart_name})",
        done_summary=f"Rolled back {what} to revision {arguments.revision} ({target.chart_name})",
        risk=described.risk,
        warnings=described.warnings,
        pinned_values=pinned,
        own_diff=described.own_diff,
        changes_more=True,
        manager=f"the Helm release {arguments.name}",
        run=lambda: _run(
            line, arguments.timeout_seconds, HelmRun("rollback", arguments.name, store, now, call.effects), call
        ),
    )


async def uninstall(arguments: UninstallArguments, call: CallContext) -> Plan:
    store = _open(arguments, call)
    current, now = await read_current(store, arguments.name, deployed_only=False)
    pinned = pin("uninstall", store, arguments.name, now)
    check_pinned(call.pinned_values, pinned)
    change = ReleaseChange("uninstall", arguments.name, store, call)
    described = await change.describe_removal(current)
    what = f"Helm release {arguments.name} ({current.chart_name}) in {store.namespace}"
    line = ["uninstall", *(["--wait"] if arguments.wait else []), "--", arguments.name]
    return Plan(
        writes=described.writes,
        summary=f"Uninstall {what}, with its {len(described.writes)} objects and its history",
        done_summary=f"Uninstalled {what}",
        risk=Risk(level="destructive", reason="the objects of the release and its history are deleted"),
        warnings=described.warnings,
        pinned_values=pinned,
        own_diff=described.own_diff,
        changes_more=True,
        manager=f"the Helm release {arguments.name}",
        run=lambda: _run(
            line, arguments.timeout_seconds, HelmRun("uninstall", arguments.name, store, now, call.effects), call
        ),
    )


async def _run(line: Sequence[str], seconds: int, run: HelmRun, call: CallContext) -> Sequence[str]:
    async with open_folder(call.services.helm.settings) as folder:
        await write_kubeconfig(folder, run.store.cluster, run.store.namespace, call.identity)
        flags = (f"--namespace={run.store.namespace}", f"--timeout={seconds}s")
        await run.run(folder, [line[0], *flags, *line[1:]], seconds)
    return ()


def _tool_info(name: str, title: str, description: str) -> ToolInfo:
    return ToolInfo(name, title, description, tags=HELM_TAGS, deadline=PREVIEW_SECONDS)


INSTALL = ChangeTool(
    _tool_info("helm_install", "Install a chart", "Installs a chart as a new Helm release."),
    InstallArguments,
    install,
    idempotent=False,
    bodies=("values",),
    deadline=RUN_SECONDS,
)
UPGRADE = ChangeTool(
    _tool_info("helm_upgrade", "Upgrade a release", "Upgrades a Helm release: another chart version, other values."),
    UpgradeArguments,
    upgrade,
    idempotent=False,
    bodies=("values",),
    deadline=RUN_SECONDS,
)
ROLLBACK = ChangeTool(
    _tool_info("helm_rollback", "Roll back a release", "Brings a Helm release back to an earlier revision."),
    RollbackArguments,
    rollback,
    idempotent=False,
    deadline=RUN_SECONDS,
)
UNINSTALL = ChangeTool(
    _tool_info("helm_uninstall", "Uninstall a release", "Deletes a Helm release with all of its objects."),
    UninstallArguments,
    uninstall,
    destructive=True,
    deadline=RUN_SECONDS,
)
