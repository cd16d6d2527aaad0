"""What the store holds: one frozen dataclass a table, in plain types that SQLite and PostgreSQL agree on.

Ids are text, times are milliseconds since the epoch by the database's clock, JSON is canonical text. `models/` has the
same tables for the migrations; a test holds the two together.
"""

from dataclasses import dataclass
from typing import Final

from src.api.schemas.record import Record
from src.api.schemas.trail import AuditEntry, AuditHead, AuditSeal


@dataclass(frozen=True, slots=True)
class User(Record):
    table = "users"
    id: str
    email: str
    hashed_password: str
    full_name: str | None
    role: str
    is_active: bool
    is_superuser: bool
    is_verified: bool
    kubernetes_user: str | None
    kubernetes_groups: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Conversation(Record):
    """`erase_due`: when what a deleted one held is to be looked at next; None once it is erased.

    `title_by`: "message" (cut from the first one), "model" or "person"; None where nobody knows, or there is no title.
    """

    table = "conversations"
    id: str
    owner_id: str
    title: str | None
    is_active: bool
    metadata: str
    touches: int
    created_at: int
    updated_at: int
    deleted_at: int | None
    erase_due: int | None
    title_by: str | None


@dataclass(frozen=True, slots=True)
class Run(Record):
    table = "runs"
    id: str
    conversation_id: str
    user_id: str
    state: str
    fence: int
    owner: str | None
    lease_until: int | None
    restarts: int
    stop_at: int | None
    journal: int
    rest: int
    turn: int
    trigger: str
    usage: str
    error: str | None
    error_code: str | None
    created_at: int
    started_at: int | None
    touched_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class Message(Record):
    """A user's message (`turn` 0) or what the model said in one turn of a run."""

    table = "messages"
    id: str
    conversation_id: str
    run_id: str
    turn: int
    role: str
    content: str
    thinking: str
    thinking_ms: int
    finish_reason: str | None
    usage: str
    replaces: str | None
    hidden: bool
    created_at: int


@dataclass(frozen=True, slots=True)
class ModelCall(Record):
    """What one call of a model took, in numbers only. `cost_nano`: billionths of a US dollar, None without a price."""

    table = "model_calls"
    id: str
    run_id: str
    model: str
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    cost_nano: int | None
    ttft_ms: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class SearchText(Record):
    """What a conversation is found by: its title (`id` is the conversation's) and each message, case folded, cut."""

    table = "search"
    id: str
    conversation_id: str
    run_id: str | None
    folded: str


@dataclass(frozen=True, slots=True)
class Call(Record):
    """One tool call of a turn. `args` is the canonical JSON that runs, `shown` its redacted form.

    `asks`: whether a person had to decide on it, as the policy saw it when the model asked.
    """

    table = "calls"
    id: str
    run_id: str
    conversation_id: str
    turn: int
    position: int
    version: int
    provider_id: str
    server: str
    tool: str
    title: str
    kind: str
    args: str
    shown: str
    schema_hash: str
    status: str
    result: str
    error: str | None
    supersedes: str | None
    created_at: int
    started_at: int | None
    ended_at: int | None
    asks: bool


@dataclass(frozen=True, slots=True)
class Approval(Record):
    """What a person decides on. Its id is its call's; only status, deadlines of execution and the decision move.

    `author_id` is whose wish it is: who asked for it, or edited it. `effect` is read, change or destructive; `rule` the
    policy's that asks for it, by as many people as `votes`.
    """

    table = "approvals"
    id: str
    run_id: str
    conversation_id: str
    requester_id: str
    author_id: str
    server: str
    tool: str
    schema_hash: str
    args: str
    preview: str | None
    preconditions: str | None
    objects: str
    digest: str
    risk: str
    effect: str
    rule: str
    votes: int
    status: str
    approve_by: int
    execute_by: int | None
    decided_by: str | None
    decided_at: int | None
    reason: str | None
    supersedes: str | None
    created_at: int


@dataclass(frozen=True, slots=True)
class Decision(Record):
    """`despite_unknown` names the changes to the same objects whose outcome was unknown to those who decided."""

    table = "decisions"
    id: str
    approval_id: str
    user_id: str
    approve: bool
    reason: str | None
    digest: str | None
    despite_unknown: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Execution(Record):
    """The one attempt at an approved change: its primary key is the approval, so there can't be a second."""

    table = "executions"
    id: str
    run_id: str
    fence: int
    nonce: str
    state: str
    effect: str | None
    code: str | None
    result: str
    error: str | None
    settled_by: str | None
    evidence: str | None
    started_at: int
    ended_at: int | None


@dataclass(frozen=True, slots=True)
class JournalEvent(Record):
    """A committed event; `text_from` is where in its content the text begins that deltas after n - 1 have carried."""

    table = "events"
    key = ("run_id", "n")
    run_id: str
    n: int
    type: str
    body: str
    text_from: int | None
    created_at: int


@dataclass(frozen=True, slots=True)
class DeferredEvent(Record):
    """An event that came up while its run's owner was streaming a text; the next border puts it into the journal."""

    table = "deferred_events"
    id: str
    run_id: str
    body: str
    created_at: int


@dataclass(frozen=True, slots=True)
class Submission(Record):
    table = "submissions"
    key = ("user_id", "idempotency_key")
    user_id: str
    idempotency_key: str
    body_sha256: str
    run_id: str
    conversation_id: str
    created_at: int


@dataclass(frozen=True, slots=True)
class RefreshToken(Record):
    table = "refresh_tokens"
    id: str
    user_id: str
    family: str
    token_sha256: str
    used_at: int | None
    revoked_at: int | None
    ends_at: int | None
    expires_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Identity(Record):
    table = "identities"
    id: str
    user_id: str
    issuer: str
    subject: str
    created_at: int


@dataclass(frozen=True, slots=True)
class ApiToken(Record):
    """`scopes` are words with commas between them, in the order of the alphabet."""

    table = "api_tokens"
    id: str
    user_id: str
    name: str
    scopes: str
    token_sha256: str
    expires_at: int
    created_at: int


@dataclass(frozen=True, slots=True)
class Integration(Record):
    table = "integrations"
    id: str
    provider: str
    name: str
    metadata: str
    status: str
    credentials_ref: str | None
    created_by: str
    created_at: int
    updated_at: int


@dataclass(frozen=True, slots=True)
class CredentialNote(Record):
    """Where credentials are, were begun to be put, or wait to be removed: written before they are touched.

    `state` is writing, kept or leaving; `due_at` is when the sweep removes them, None while they are kept. `names` says
    what is set, as a JSON list.
    """

    table = "credential_notes"
    key = ("ref",)
    ref: str
    integration_id: str
    names: str
    state: str
    due_at: int | None


@dataclass(frozen=True, slots=True)
class SealedCredentials(Record):
    """Credentials of the local store: encrypted, by the key of this id."""

    table = "credentials"
    key = ("ref",)
    ref: str
    owner: str
    key_id: str
    sealed: str


RECORDS: Final = (
    User,
    Conversation,
    Run,
    Message,
    ModelCall,
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
    Integration,
    CredentialNote,
    SealedCredentials,
    AuditEntry,
    AuditHead,
    AuditSeal,
)


@dataclass(frozen=True, slots=True)
class Tail:
    """One look at a run for a follower: its state, where its journal rested, and the rows after the cursor."""

    conversation_id: str
    state: str
    journal: int
    rest: int
    events: tuple[JournalEvent, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows have this combination of what they were grouped by, and what their columns sum up to."""

    by: tuple[str | int | None, ...]
    count: int
    sums: tuple[int, ...]
