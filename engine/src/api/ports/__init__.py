"""Define protocols for everything that the engine needs from outside: the architecture on one page.

Services and the agent depend on these protocols only. `adapters/` implements them, `container.py` chooses.

    store        Store, Transaction, Reader: transactions of single-row compare-and-sets; the database is the truth
    bus          Bus: notifications between processes and the live buffer of token deltas; never the only copy of data
    model        Model: one streamed call of a language model
    tools        ToolServer: MCP tool servers: listing, reads, previews, granted changes, settling
    secrets      Secrets: credentials of integrations
    policy       Policies: the active policy
    identity     IdentityProvider: sign-in by OpenID Connect
    rate_limits  RateLimiter: requests per client and minute
    mail         Mail: e-mail to users
    clock        Clock, Ids: time and ids
    metrics      Metrics: counts of what was committed and called
    tracing      Tracing: spans of requests, runs, model turns and tool calls
"""

from src.api.ports.bus import Addition, Bus, Delta, EphemeralEvent, QueuedRun, RunChanged, Signal
from src.api.ports.clock import Clock, Ids
from src.api.ports.identity import IdentityProvider
from src.api.ports.mail import Email, Mail
from src.api.ports.metrics import Metrics, NoMetrics
from src.api.ports.model import Model
from src.api.ports.policy import Policies
from src.api.ports.rate_limits import RateLimiter
from src.api.ports.secrets import Secrets
from src.api.ports.store import Reader, Store, Transaction
from src.api.ports.tools import (
    Evidence,
    Grant,
    ImpersonatedUser,
    IntegrationAccess,
    OmittedTools,
    Preview,
    Progress,
    Settlement,
    ToolReply,
    ToolRequest,
    ToolServer,
    ToolSpec,
)
from src.api.ports.tracing import NoTracing, Tracing
from src.api.schemas.model import (
    CallDelta,
    ChatCall,
    ChatMessage,
    Finished,
    FunctionSpec,
    ModelChunk,
    ModelRequest,
    ProviderState,
    TextDelta,
    TextWasThinking,
    ThinkingDelta,
    Usage,
)

__all__ = [
    "Addition",
    "Bus",
    "CallDelta",
    "ChatCall",
    "ChatMessage",
    "Clock",
    "Delta",
    "Email",
    "EphemeralEvent",
    "Evidence",
    "Finished",
    "FunctionSpec",
    "Grant",
    "IdentityProvider",
    "Ids",
    "ImpersonatedUser",
    "IntegrationAccess",
    "Mail",
    "Metrics",
    "Model",
    "ModelChunk",
    "ModelRequest",
    "NoMetrics",
    "NoTracing",
    "OmittedTools",
    "Policies",
    "Preview",
    "Progress",
    "ProviderState",
    "QueuedRun",
    "RateLimiter",
    "Reader",
    "RunChanged",
    "Secrets",
    "Settlement",
    "Signal",
    "Store",
    "TextDelta",
    "TextWasThinking",
    "ThinkingDelta",
    "ToolReply",
    "ToolRequest",
    "ToolServer",
    "ToolSpec",
    "Tracing",
    "Transaction",
    "Usage",
]
