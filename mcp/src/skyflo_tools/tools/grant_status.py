"""The tools grant_settle and grant_evidence: help the engine to find out how a change ended."""

from typing import Annotated

from pydantic import BaseModel, Field, JsonValue, ValidationError

from skyflo_common.jsontypes import JsonObject
from skyflo_tools.errors import ApiStatusError, InvalidArguments, StoreUnavailable
from skyflo_tools.grants.store import Settlement
from skyflo_tools.helm.evidence import Evidence, find_evidence, is_helm_change
from skyflo_tools.kubernetes.field_fingerprints import fingerprint_fields
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.preconditions import ObjectPrecondition, Preconditions
from skyflo_tools.tool import CallContext, ReadTool, ToolArguments, ToolInfo, ToolOutput


class SettleArguments(ToolArguments):
    id: Annotated[str, Field(min_length=1, max_length=200, description="The approval's id.")]


class EvidenceArguments(ToolArguments):
    tool: Annotated[str, Field(max_length=100)]
    arguments: dict[str, JsonValue]
    preconditions: dict[str, JsonValue]


class EvidenceResult(BaseModel):
    evidence: Evidence
    detail: str


async def settle(arguments: SettleArguments, call: CallContext) -> ToolOutput[Settlement]:
    """Return the state of a grant. A grant that was never used is revoked atomically and can't run any more."""
    if call.services.grants is None:
        raise StoreUnavailable("this tool server has no grant store")
    found: Settlement = await call.services.grants.settle(arguments.id, call.services.clock.now() / 1000)
    return ToolOutput(f"{arguments.id}: {found.state}, effect {found.effect}", found)


async def evidence(arguments: EvidenceArguments, call: CallContext) -> ToolOutput[EvidenceResult]:
    """Compare the live objects with the preview. A match suggests, but does not prove, that it was applied."""
    try:
        approved = Preconditions.model_validate(arguments.preconditions)
    except ValidationError as error:
        raise InvalidArguments("the preconditions are not those of a preview") from error
    if is_helm_change(approved.pinned):
        verdict, detail = await find_evidence(approved.pinned, call)
        return ToolOutput(f"{verdict}: {detail}", EvidenceResult(evidence=verdict, detail=detail))
    preconditions = approved.objects
    found = [await _object_evidence(precondition, call) for precondition in preconditions]
    verdicts = {verdict for verdict, _ in found}
    verdict = verdicts.pop() if len(verdicts) == 1 else "cannot_tell"
    detail = "; ".join(sentence for _, sentence in found) or "the change names no object that could be compared"
    return ToolOutput(f"{verdict}: {detail}", EvidenceResult(evidence=verdict, detail=detail))


async def _object_evidence(precondition: ObjectPrecondition, call: CallContext) -> tuple[Evidence, str]:
    cluster = call.services.clusters.choose(precondition.cluster)
    try:
        live = KubeObject(await cluster.client.get(precondition.path, call.identity))
    except ApiStatusError as error:
        if not error.is_missing:
            return "cannot_tell", f"{precondition.what} can't be read: {error.message}"
        live = None
    return (
        _deletion_evidence(precondition, live)
        if precondition.verb == "delete"
        else _update_evidence(precondition, live, call)
    )


def _deletion_evidence(precondition: ObjectPrecondition, live: KubeObject | None) -> tuple[Evidence, str]:
    if live is None:
        return "looks_applied", f"{precondition.what} is gone"
    if live.uid != precondition.uid:
        return "looks_applied", f"{precondition.what} is gone; another of the same name is there now"
    if live.is_deleting and not precondition.deleting:
        return "looks_applied", f"{precondition.what} is being deleted"
    if live.is_deleting:
        return "cannot_tell", f"{precondition.what} is being deleted, as it was before"
    return "looks_not_applied", f"{precondition.what} is still there"


def _update_evidence(
    precondition: ObjectPrecondition, live: KubeObject | None, call: CallContext
) -> tuple[Evidence, str]:
    if live is None and precondition.uid is None:
        return "looks_not_applied", f"{precondition.what} does not exist"
    if live is None:
        return "cannot_tell", f"{precondition.what} has been deleted"
    if precondition.uid is not None and live.uid != precondition.uid:
        return "cannot_tell", f"{precondition.what} has been deleted and recreated"
    if precondition.after is None or not precondition.compared_after:
        return "cannot_tell", f"the preview of {precondition.what} has nothing to compare"
    body: JsonObject = live.body
    fingerprints = call.services.fingerprints
    if fingerprint_fields(body, precondition.compared_after, fingerprints) == precondition.after:
        return "looks_applied", f"{precondition.what} has the values that the change sets"
    now = fingerprint_fields(body, [tuple(path) for path in precondition.touches], fingerprints)
    if now == precondition.before and precondition.uid is not None:
        return "looks_not_applied", f"{precondition.what} has the values that it had before"
    return "cannot_tell", f"{precondition.what} has neither the earlier values nor those that the change sets"


SETTLE = ReadTool(
    ToolInfo(
        "grant_settle",
        "Settle a grant",
        "Returns the final state of a grant. Revokes a grant that was never used.",
        tags=frozenset({"grants"}),
        internal=True,
        open_world=False,
    ),
    SettleArguments,
    settle,
    read_only=False,
)
EVIDENCE = ReadTool(
    ToolInfo(
        "grant_evidence",
        "Find evidence of a change",
        "Compares live objects with the outcome that a preview showed.",
        tags=frozenset({"grants"}),
        internal=True,
    ),
    EvidenceArguments,
    evidence,
)
