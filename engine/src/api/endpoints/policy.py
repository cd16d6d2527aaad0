"""`/policy`: the active policy and its decisions."""

from fastapi import APIRouter

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.policy import ExplainRequest, Explanation, PolicyView

router = APIRouter(prefix="/policy", tags=["policy"])


@router.get("")
async def read_policy(api: Api, caller: SignedIn) -> PolicyView:  # noqa: ARG001 - any signed-in user may read it
    """Return the active policy, and the problem of its file if there is one."""
    return await api.policy.view()


@router.post("/explain")
async def explain(api: Api, caller: SignedIn, wanted: ExplainRequest) -> Explanation:
    """Explain what the policy would decide about a call, by which rule, and why earlier rules did not match."""
    return await api.policy.explain(caller, wanted)
