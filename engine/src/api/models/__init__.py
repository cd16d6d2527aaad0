"""Declare the database tables, for the migrations only; the store reads and writes them."""

from src.api.models.calls import Approval, Call, Decision, Execution
from src.api.models.identity import (
    ApiToken,
    AuditEntry,
    AuditHead,
    AuditSeal,
    CredentialRecord,
    FormerName,
    Identity,
    Integration,
    RefreshToken,
    SealedCredentials,
    User,
)
from src.api.models.runs import (
    BudgetWarning,
    Conversation,
    DeferredEvent,
    JournalEvent,
    Message,
    ModelCall,
    Run,
    SearchText,
    Submission,
)

__all__ = [
    "ApiToken",
    "Approval",
    "AuditEntry",
    "AuditHead",
    "AuditSeal",
    "BudgetWarning",
    "Call",
    "Conversation",
    "CredentialRecord",
    "Decision",
    "DeferredEvent",
    "Execution",
    "FormerName",
    "Identity",
    "Integration",
    "JournalEvent",
    "Message",
    "ModelCall",
    "RefreshToken",
    "Run",
    "SealedCredentials",
    "SearchText",
    "Submission",
    "User",
]
