"""Describe a change of a release: the writes to its objects and hooks, its values and notes, and its risk."""

import asyncio
from dataclasses import dataclass

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import ToolFailure
from skyflo_tools.helm.changes import ReleaseNow
from skyflo_tools.helm.custom_kinds import CustomKinds
from skyflo_tools.helm.manifests import ReleaseObject, hide_secrets_of, read_hooks, read_objects
from skyflo_tools.helm.release import Release, parse_release
from skyflo_tools.helm.release_store import ReleaseStore
from skyflo_tools.helm.writes import Rendering, WriteBuilder
from skyflo_tools.kubernetes.diffs import diff_objects
from skyflo_tools.output import redact_object
from skyflo_tools.plan import Write
from skyflo_tools.risk import Risk
from skyflo_tools.tool import CallContext

MAX_HOOKS_NAMED = 20
MAX_KEPT_NAMED = 10
_EVENTS = {"install": "install", "upgrade": "upgrade", "rollback": "rollback", "uninstall": "delete"}


@dataclass(frozen=True)
class Described:
    writes: tuple[Write, ...]
    own_diff: tuple[str, ...]
    warnings: tuple[str, ...]
    risk: Risk
    changes_more: bool = True
    """Whether chart or values change, or hooks run."""


def rendered_release(output: str, namespace: str) -> Release:
    """Parse what a dry run printed. Raises UnreadableRelease."""
    return parse_release(output).model_copy(update={"namespace": namespace})


async def read_current(store: ReleaseStore, name: str, *, deployed_only: bool = True) -> tuple[Release, ReleaseNow]:
    """Return the revision that helm compares with, and the latest one. Refuses a release that is being changed."""
    records = await store.revisions_of(name)
    now = ReleaseNow(records[-1])
    if deployed_only and records[-1].is_pending:
        raise ToolFailure(f"{name} can't be changed: {now}", code="release_pending", hint="helm_status says what to do")
    base = next((each for each in reversed(records) if each.status == "deployed"), None) if deployed_only else None
    return await store.read(base or records[-1]), now


@dataclass(frozen=True)
class ReleaseChange:
    """One change of a release."""

    verb: str
    name: str
    store: ReleaseStore
    call: CallContext

    async def describe(
        self,
        current: Release | None,
        after: Release,
        again: Release,
        server_side: bool,
        force: bool,
        kinds: CustomKinds | None = None,
    ) -> Described:
        """Describe an installation, an upgrade or a rollback. `again` is a second rendering of the same chart."""
        for release in (current, after, again):
            if release is not None:
                await hide_secrets_of(release, self.call)
        hooks = await self._hooks(after)
        rendering = Rendering(
            old=await read_objects(current) if current else [],
            new=await read_objects(after),
            again=await read_objects(again),
            hooks=hooks,
            kinds=kinds or CustomKinds(),
        )
        builder = self._builder(server_side, force)
        return Described(
            writes=await builder.build(rendering),
            own_diff=tuple(await self._own_diff(current, after)),
            warnings=(*_name_hooks(hooks), *self._name_kept(rendering), *rendering.kinds.warnings()),
            risk=_risk(current, force),
            changes_more=current is None or bool(hooks) or _inputs(current) != _inputs(after),
        )

    async def describe_removal(self, current: Release) -> Described:
        await hide_secrets_of(current, self.call)
        objects, hooks = await read_objects(current), await self._hooks(current)
        kept = [each.title for each in objects if each.is_kept]
        warnings = [
            *_name_hooks(hooks),
            *([f"stays, by its policy: {', '.join(kept[:MAX_KEPT_NAMED])}"] if kept else []),
        ]
        return Described(
            writes=await self._builder(server_side=True, force=False).delete_all(objects, hooks),
            own_diff=tuple(await self._own_diff(current, None)),
            warnings=tuple(warnings),
            risk=Risk(level="destructive", reason="deletes a release"),
        )

    def _builder(self, server_side: bool, force: bool) -> WriteBuilder:
        store = self.store
        return WriteBuilder(store.cluster, self.name, store.namespace, self.call.identity, server_side, force)

    async def _hooks(self, release: Release) -> list[ReleaseObject]:
        """Return the objects of the hooks that this change runs."""
        event = _EVENTS[self.verb]
        wanted = {f"pre-{event}", f"post-{event}"}
        return [each for each in await read_hooks(release) if each.hook and wanted & set(each.hook.events)]

    def _name_kept(self, rendering: Rendering) -> list[str]:
        new = {each.key for each in rendering.new}
        kept = [each.title for each in rendering.old if each.key not in new and each.is_kept]
        return (
            [f"no longer part of the release, but stays by its policy: {', '.join(kept[:MAX_KEPT_NAMED])}"]
            if kept
            else []
        )

    async def _own_diff(self, before: Release | None, after: Release | None) -> list[str]:
        """Return the difference of chart, values and notes."""
        redactor = self.call.redactor()
        old, new = [
            await redact_object(_facts(release, self.verb), redactor) if release else None
            for release in (before, after)
        ]
        return await asyncio.to_thread(diff_objects, old, new, f"helm release {self.name}")


def _inputs(release: Release) -> JsonObject:
    app = release.chart.metadata.app_version
    return {"chart": release.chart_name, "values": release.config, **({"appVersion": app} if app else {})}


def _facts(release: Release, verb: str) -> JsonObject:
    facts = _inputs(release)
    return facts if verb == "uninstall" else facts | {"notes": release.info.notes}


def _name_hooks(hooks: list[ReleaseObject]) -> list[str]:
    named = [
        f"runs the hook {each.title} ({', '.join(each.hook.events)}, weight {each.hook.weight})"
        for each in hooks
        if each.hook is not None
    ]
    more = len(named) - MAX_HOOKS_NAMED
    return named[:MAX_HOOKS_NAMED] + ([f"runs {more} more hooks"] if more > 0 else [])


def _risk(current: Release | None, force: bool) -> Risk:
    if force:
        return Risk(level="high", reason="takes ownership of fields from other managers by force")
    if current is None:
        return Risk(level="medium", reason="installs all that a chart brings")
    return Risk(level="medium", reason="changes the objects of a release")
