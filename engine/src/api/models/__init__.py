"""The tables, for the migrations. No behaviour: what reads and writes them is the store."""

from src.api.models.calls import Approval, Call, Decision, Execution
from src.api.models.identity import (
    ApiToken,
    AuditEntry,
    AuditHead,
    AuditSeal,
    CredentialNote,
    Identity,
    Integration,
    RefreshToken,
    SealedCredentials,
    User,
)
from src.api.models.runs import (
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
    "Call",
    "Conversation",
    "CredentialNote",
    "Decision",
    "DeferredEvent",
    "Execution",
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
