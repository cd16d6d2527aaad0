"""The rows of the store: one frozen dataclass per table, with types that SQLite and PostgreSQL share.

Ids are text, times are milliseconds since the epoch by the database's clock, JSON is canonical text. `models/` declares
the same tables for migrations; a test compares the two.
"""

from typing import Final

from src.api.schemas.records.accounts import ApiToken, FormerName, Identity, RefreshToken, User
from src.api.schemas.records.aggregates import AggregateRow
from src.api.schemas.records.audit import AuditEntry, AuditHead, AuditSeal
from src.api.schemas.records.base import Record
from src.api.schemas.records.calls import Approval, Call, Decision, Execution
from src.api.schemas.records.conversations import Conversation, ConversationSummary, Message, SearchText
from src.api.schemas.records.integrations import CredentialRecord, Integration, SealedCredentials
from src.api.schemas.records.runs import BudgetWarning, DeferredEvent, JournalEvent, ModelCall, Run, Submission, Tail

__all__ = [
    "RECORDS",
    "AggregateRow",
    "ApiToken",
    "Approval",
    "AuditEntry",
    "AuditHead",
    "AuditSeal",
    "BudgetWarning",
    "Call",
    "Conversation",
    "ConversationSummary",
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
    "Record",
    "RefreshToken",
    "Run",
    "SealedCredentials",
    "SearchText",
    "Submission",
    "Tail",
    "User",
]

RECORDS: Final = (
    User,
    Conversation,
    Run,
    Message,
    ConversationSummary,
    ModelCall,
    BudgetWarning,
    SearchText,
    Call,
    Approval,
    Decision,
    Execution,
    JournalEvent,
    DeferredEvent,
    Submission,
    RefreshToken,
    ApiToken,
    Identity,
    FormerName,
    Integration,
    CredentialRecord,
    SealedCredentials,
    AuditEntry,
    AuditHead,
    AuditSeal,
)
