"""grant_settle and grant_evidence: for the engine, when it does not know how a change ended."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field, JsonValue, ValidationError

from skyflo_tools.errors import ApiRefused, BadArguments, StoreUnavailable
from skyflo_tools.grants.store import Settlement
from skyflo_tools.jsontypes import JsonObject
from skyflo_tools.kubernetes.objects import KubeObject
from skyflo_tools.kubernetes.touched import fingerprint
from skyflo_tools.pins import ObjectPin, Preconditions
from skyflo_tools.tool import Call, Description, Output, Read, ToolArguments

Evidence = Literal["looks_applied", "looks_not_applied", "cannot_tell"]


class SettleArguments(ToolArguments):
    id: Annotated[str, Field(min_length=1, max_length=200, description="The approval's id.")]


class EvidenceArguments(ToolArguments):
    tool: Annotated[str, Field(max_length=100)]
    arguments: dict[str, JsonValue]
    preconditions: dict[str, JsonValue]


class EvidenceResult(BaseModel):
    evidence: Evidence
    detail: str


async def settle(arguments: SettleArguments, call: Call) -> Output:
    """Atomic: an id never seen can never run from then on."""
    if call.services.grants is None:
        raise StoreUnavailable("there is no store of used grants")
    found: Settlement = await call.services.grants.settle(arguments.id, call.services.clock.now())
    return Output(f"{arguments.id}: {found.state}, effect {found.effect}", found)


async def evidence(arguments: EvidenceArguments, call: Call) -> Output:
    """Compares what is with what the dry-run had said. An equal object is a sign, not a proof."""
    try:
        pins = Preconditions.model_validate(arguments.preconditions).objects
    except ValidationError as error:
        raise BadArguments("the preconditions did not come from a preview") from error
    found = [await _evidence(pin, call) for pin in pins]
    verdicts = {verdict for verdict, _ in found}
    verdict = verdicts.pop() if len(verdicts) == 1 else "cannot_tell"
    detail = "; ".join(sentence for _, sentence in found)
    return Output(f"{verdict}: {detail}", EvidenceResult(evidence=verdict, detail=detail))


async def _evidence(pin: ObjectPin, call: Call) -> tuple[Evidence, str]:
    cluster = call.services.clusters.choose(pin.cluster)
    try:
        live = KubeObject(await cluster.client.get(pin.path, call.identity))
    except ApiRefused as error:
        if not error.is_missing:
            return "cannot_tell", f"{pin.what} can't be read: {error.message}"
        live = None
    return _of_deletion(pin, live) if pin.verb == "delete" else _of_values(pin, live, call)


def _of_deletion(pin: ObjectPin, live: KubeObject | None) -> tuple[Evidence, str]:
    if live is None:
        return "looks_applied", f"{pin.what} is gone"
    if live.uid != pin.uid:
        return "looks_applied", f"{pin.what} is gone; another of the same name is there now"
    if live.deleting and not pin.deleting:
        return "looks_applied", f"{pin.what} is being deleted"
    if live.deleting:
        return "cannot_tell", f"{pin.what} is being deleted, as it was before"
    return "looks_not_applied", f"{pin.what} is still there"


def _of_values(pin: ObjectPin, live: KubeObject | None, call: Call) -> tuple[Evidence, str]:
    if live is None and pin.uid is None:
        return "looks_not_applied", f"{pin.what} does not exist"
    if live is None:
        return "cannot_tell", f"{pin.what} has been deleted"
    if pin.uid is not None and live.uid != pin.uid:
        return "cannot_tell", f"{pin.what} has been deleted and created anew"
    if pin.after is None or pin.before == pin.after:
        return "cannot_tell", f"nothing was recorded of {pin.what} that would tell"
    body: JsonObject = live.body
    now = fingerprint(body, [tuple(path) for path in pin.touches], call.services.fingerprints)
    if now == pin.after:
        return "looks_applied", f"{pin.what} has the values that the change would have given it"
    if now == pin.before and pin.uid is not None:
        return "looks_not_applied", f"{pin.what} has the values that it had before"
    return "cannot_tell", f"{pin.what} has other values than before and than the change would have given it"


SETTLE = Read(
    Description(
        "grant_settle",
        "Settle a grant",
        "Says for good whether a grant was used; one never seen is revoked.",
        tags=frozenset({"grants"}),
        internal=True,
        open_world=False,
    ),
    SettleArguments,
    settle,
    read_only=False,
)
EVIDENCE = Read(
    Description(
        "grant_evidence",
        "Look for a change's traces",
        "Compares the live objects with what a preview said they would become.",
        tags=frozenset({"grants"}),
        internal=True,
    ),
    EvidenceArguments,
    evidence,
)
