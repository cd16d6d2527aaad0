"""Change a release by one run of helm: what is pinned by the preview, and what the release says afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from skyflo_tools.effects import EffectTracker
from skyflo_tools.errors import Effect, StalePreview, ToolFailure
from skyflo_tools.helm.binary import HelmFailed, HelmFolder, HelmMissing
from skyflo_tools.helm.release_store import ReleaseStore, RevisionRecord
from skyflo_tools.shortening import one_line

CLUSTER, RELEASE, REVISION, RECORD, CHART = "helm_cluster", "helm_release", "helm_revision", "helm_record", "helm_chart"
VERB = "helm_verb"
OUTPUT_CHARACTERS = 1000
GRACE_SECONDS = 20.0
_DONE = {"install": "deployed", "upgrade": "deployed", "rollback": "deployed"}


@dataclass(frozen=True)
class ReleaseNow:
    """The latest revision of a release; None if there is none."""

    latest: RevisionRecord | None

    @property
    def revision(self) -> int:
        return self.latest.revision if self.latest else 0

    @property
    def is_deployed(self) -> bool:
        return self.latest is not None and self.latest.status == "deployed"

    def __str__(self) -> str:
        return f"revision {self.latest.revision} is {self.latest.status}" if self.latest else "there is no such release"


async def read_now(store: ReleaseStore, name: str) -> ReleaseNow:
    listed = await store.list_revisions(name)
    return ReleaseNow(listed.items[-1] if listed.items else None)


def pin(verb: str, store: ReleaseStore, name: str, now: ReleaseNow, chart: str = "") -> dict[str, str]:
    """Return what must be the same when the change runs: the release's revision, and the digest of the chart."""
    return {
        VERB: verb,
        CLUSTER: store.cluster.name,
        RELEASE: f"{store.namespace}/{name}",
        REVISION: str(now.revision),
        RECORD: f"{now.latest.uid} {now.latest.status}" if now.latest else "",
        CHART: chart,
    }


def check_pinned(expected: Mapping[str, str], found: Mapping[str, str]) -> None:
    """Compare with the preview that was approved, if there was one. Raises StalePreview."""
    if not expected or dict(expected) == dict(found):
        return
    hint = "look at the release again, then propose the change again"
    if expected.get(CHART) != found.get(CHART):
        raise StalePreview("the chart has another content now than in the preview", hint=hint)
    raise StalePreview(
        f"the release {found[RELEASE]} has changed since the preview: it was at revision {expected.get(REVISION)}"
        f" and is at {found[REVISION]}",
        hint=hint,
    )


@dataclass(frozen=True)
class HelmRun:
    """One run of helm that changes a release. It is started once and never again."""

    verb: str
    name: str
    store: ReleaseStore
    before: ReleaseNow
    effects: EffectTracker

    async def run(self, folder: HelmFolder, arguments: Sequence[str], seconds: float) -> str:
        """Run helm and set the effect by what the release says afterwards. Raises ToolFailure with that evidence."""
        self.effects.begin()
        try:
            output = await folder.run(*arguments, seconds=seconds + GRACE_SECONDS)
        except HelmMissing:
            self.effects.settle("none")
            raise
        except ToolFailure as error:
            effect, evidence = await self._find_effect()
            self.effects.settle(effect if isinstance(error, HelmFailed) else "unknown")
            raise self._explain(error, evidence) from error
        self.effects.settle("done")
        return one_line(output, OUTPUT_CHARACTERS)

    def _explain(self, error: ToolFailure, evidence: str) -> ToolFailure:
        hint = error.hint or "helm_status shows the release and the next step"
        return ToolFailure(f"{error.message}. Now {evidence}", code=error.code, hint=hint)

    async def _find_effect(self) -> tuple[Effect, str]:
        """Tell from the release what a run has done that ended with an error."""
        try:
            now = await read_now(self.store, self.name)
        except ToolFailure as error:
            return "unknown", f"the release can't be read: {error.message}"
        return judge(self.verb, self.before.latest, now), str(now)


def judge(verb: str, before: RevisionRecord | None, now: ReleaseNow) -> Effect:
    """Tell what a run has done. Helm records a new revision before it changes any object but CRDs."""
    latest = now.latest
    if latest is None:
        return "done" if verb == "uninstall" and before is not None else "none"
    if before is not None and (latest.uid, latest.status) == (before.uid, before.status):
        return "none"
    if latest.is_pending:
        return "unknown"
    return "done" if _DONE.get(verb) == latest.status else "partial"
