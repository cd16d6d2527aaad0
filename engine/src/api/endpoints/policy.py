"""`/policy`: what is in force, and what it would say."""

from fastapi import APIRouter

from src.api.endpoints.dependencies import Api, SignedIn
from src.api.schemas.policy import ExplainRequest, Explanation, PolicyView

router = APIRouter(prefix="/policy", tags=["policy"])


@router.get("")
async def show(api: Api, caller: SignedIn) -> PolicyView:  # noqa: ARG001 - for whoever is signed in
    """The policy in force, and what is wrong with its file, if anything is."""
    return await api.policy.view()


@router.post("/explain")
async def explain(api: Api, caller: SignedIn, wanted: ExplainRequest) -> Explanation:
    """What the policy would say of a call, by which rule, and why the rules before it did not match."""
    return await api.policy.explain(caller, wanted)
