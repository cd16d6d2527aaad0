"""The architecture on one page: what the engine needs of the world, as protocols.

Services and agent know these and nothing behind them; `adapters/` implements them; `container.py` chooses.

    Store       the database, which is the truth: transactions of single-row compare-and-sets
    Bus         the doorbell and the live buffer of token deltas: may be lost at any time without losing data
    Model       one streamed call of a language model
    ToolServer  MCP tool servers: listing, reads, previews, granted changes, settling
    Secrets     keeps the credentials of integrations
    RateLimiter counts who asks how often
    Mail        e-mails to people
    Policies    the policy in force
    IdentityProvider  who somebody is, by OpenID Connect
    Clock, Ids  time and identity
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

from src.api.schemas.audit import Actor
from src.api.schemas.base import Json, JsonObject
from src.api.schemas.model import (
    CallDelta as CallDelta,
)
from src.api.schemas.model import (
    ChatCall as ChatCall,
)
from src.api.schemas.model import (
    ChatMessage as ChatMessage,
)
from src.api.schemas.model import (
    Finished as Finished,
)
from src.api.schemas.model import (
    FunctionSpec as FunctionSpec,
)
from src.api.schemas.model import (
    ModelChunk as ModelChunk,
)
from src.api.schemas.model import (
    ModelRequest as ModelRequest,
)
from src.api.schemas.model import (
    TextDelta as TextDelta,
)
from src.api.schemas.model import (
    ThinkingDelta as ThinkingDelta,
)
from src.api.schemas.model import (
    Usage as Usage,
)
from src.api.schemas.oidc import Attempt, Person
from src.api.schemas.policy import PolicyInForce
from src.api.schemas.query import Assign, Grouping, Summand, Where
from src.api.schemas.record import Record
from src.api.schemas.records import Tail, Tally

R = TypeVar("R", bound=Record)
T = TypeVar("T")


class Clock(Protocol):
    """The process's own time. What is written into rows is timed by the database instead (`Transaction.now`)."""

    def now(self) -> int:
        """Milliseconds since the epoch, for people and logs."""

    def boot(self) -> float:
        """Seconds on a clock that runs on through a suspend: leases and deadlines are measured by it."""

    async def sleep(self, seconds: float) -> None: ...


class Ids(Protocol):
    def new(self) -> str:
        """A fresh id, unique for ever; later ones sort after earlier ones (UUID version 7)."""


class Reader(Protocol):
    async def get(self, kind: type[R], **key: str | int) -> R | None: ...

    async def find(self, kind: type[R], where: Where, order: str = "", limit: int = 1000, skip: int = 0) -> list[R]:
        """At most `limit` rows behind the first `skip`, in the order of the columns in `order` (`-` turns one)."""

    async def distinct(self, kind: type[Record], column: str, where: Where) -> list[str]:
        """The different texts of one column in the rows that match: 1,000 at most."""

    async def tally(
        self, kind: type[Record], by: Sequence[Grouping], where: Where, sums: Sequence[Summand] = ()
    ) -> list[Tally]:
        """How many rows match, group by group, and the sums of their summands; the largest 50,000 groups."""

    async def tail(self, run_id: str, after: int, limit: int = 500) -> Tail | None:
        """The run's state and its journal events above `after`, as one statement sees them."""


class Transaction(Reader, Protocol):
    """One transaction. SQL only: a body neither waits, nor calls out, nor starts tasks."""

    async def now(self) -> int:
        """The database's clock at this moment, in ms. Read it after the first row is locked (`protocol.md` 5)."""

    async def change(self, kind: type[R], where: Where, /, **values: Assign) -> R | None:
        """Compare-and-set: one UPDATE guarded by the row's own columns. The changed row, or None if none matched.

        `where` must name the whole key, so that at most one row can match.
        """

    async def change_all(self, kind: type[R], where: Where, /, **values: Assign) -> list[R]:
        """The same for every row that matches; the changed rows, in the order of their keys."""

    async def insert(self, row: Record) -> bool:
        """False if a unique key says that it is there already; nothing is raised for that, and nothing written."""

    async def remove(self, kind: type[Record], where: Where) -> None: ...

    def audit(self, stream: str, action: str, by: Actor, body: JsonObject) -> None:
        """Tells the audit trail who does what here: one entry of `stream`, written before the commit or not at all.

        `body` holds no secret and nothing that a deletion is meant to take away. Streams: `run:<id>`, `user:<id>`, a
        person's own account, and for what an installation has one of a plain word: `team`, `integrations`, `policy`.
        Raises `Unprocessable` for a body that JSON can't carry.
        """


class Store(Protocol):
    """All writes go through `transaction`. See `protocol.md` 2 and 3 for what it does about cancellation and locks."""

    async def transaction(self, body: Callable[[Transaction], Awaitable[T]], *, upkeep: bool = False) -> T:
        """Runs the body and commits. A cancelled caller learns of it only once the outcome is known.

        Where others were in the way (a deadlock, a lock held for 2 s) the body runs again, three times at most.
        `upkeep`: on a connection of its own, for heartbeat and sweep.

        Raises:
            StoreUnavailable: nothing was saved; with `outcome` "unknown" in `extra`, it is not known whether it was.
            Conflict: a change would have taken a unique key that another row has.
            ValueError: a value that its column can't hold, named, or a statement without a bound or a guard.
        """

    async def read(self, body: Callable[[Reader], Awaitable[T]]) -> T: ...

    async def version(self) -> int | None:
        """A number that moves when another connection has committed (SQLite), or None where there is none."""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of a text that is being streamed: characters `start` to `end` after journal event `n`."""

    run_id: str
    generation_id: str
    kind: Literal["token", "thinking"]
    n: int
    start: int
    end: int
    text: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Something to show while it lasts, with no number and no replay: `ttft`, `tool.progress`. `body` is the event."""

    run_id: str
    body: str
    timestamp: int


@dataclass(frozen=True, slots=True)
class Ring:
    """Something about the run has been committed: look at the database."""

    run_id: str


Signal = Ring | Delta | Notice


class Bus(Protocol):
    def ring(self, run_id: str) -> None:
        """Never blocks, never fails: a lost ring costs latency, since everyone also polls (`protocol.md` 21)."""

    async def publish(self, signal: Delta | Notice) -> None:
        """Appends a delta to the live buffer, which refuses one that is not above its last, and passes it on."""

    def listen(self, run_id: str, hear: Callable[[Signal], None]) -> AbstractAsyncContextManager[None]:
        """Calls `hear` with every signal from now on; it must return at once and keep what it can't use up bounded.

        A `Ring` also stands for whatever may have been lost, as when a connection was. See `services/pulse.py`.
        """

    async def buffered(self, run_id: str, n: int, end: int) -> list[Delta]:
        """The deltas in the live buffer that lie above (n, end), in order; none when it does not answer."""

    async def check(self) -> None:
        """Raises `BusUnavailable` when the bus does not answer."""


class Secrets(Protocol):
    """Where credentials are kept: written once under a name, never changed. None of its errors holds a value."""

    def ref(self, name: str) -> str:
        """Where `put` keeps what it gets under this name: `place/name`, unique among all stores of credentials."""

    async def put(self, name: str, owner: str, values: Mapping[str, str]) -> None:
        """Keeps the values for `owner`. The same again changes nothing, so a put whose end is unknown is repeatable.

        Raises:
            Conflict: something else is there under this name; it stays as it is.
            SecretsRefused: nothing was kept, for a reason that a person has to see to.
            SecretsUnavailable: it is not known whether they were kept.
        """

    async def read(self, ref: str) -> Mapping[str, str]:
        """Raises `CredentialsUnreadable` for what is lost, not ours or not as it was put, `SecretsUnavailable`."""

    async def remove(self, ref: str) -> None:
        """Afterwards nothing that `put` made is there; what somebody else put in its place stays.

        Raises `SecretsUnavailable`: try again later.
        """

    async def check(self) -> None:
        """Raises `SecretsUnavailable` while nothing can be kept, with what to do about it."""


class RateLimiter(Protocol):
    async def hit(self, bucket: str, key: str, per_minute: int) -> int | None:
        """Counts one more. None while it is within the limit, else after how many seconds to try again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """An e-mail to one person, in plain text."""

    to: str
    subject: str
    text: str


class Mail(Protocol):
    async def send(self, letter: Letter) -> None:
        """Hands one letter over to a mail server. Raises `MailUnavailable`, whose text holds nothing of the letter."""


class Policies(Protocol):
    async def current(self) -> PolicyInForce:
        """The policy in force now: what has changed is read first. Never raises; a failure is its `problem`."""


class IdentityProvider(Protocol):
    """An OpenID provider. Each call raises `IdentityUnavailable` while there is no usable answer."""

    async def address(self, attempt: Attempt) -> str:
        """Where a browser goes to sign in for this attempt."""

    async def redeem(self, code: str, issuer: str | None, attempt: Attempt) -> Person:
        """Who came back with this code; `issuer` is what the answer names as its sender.

        Raises `BadRequest` for what the provider did not make for us and for this attempt.
        """

    async def check(self) -> None:
        """Asks the provider, at most twice a minute."""


class Model(Protocol):
    def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """One call, not retried. Closing the generator closes the connection.

        Raises `ModelError`: its `retryable` says whether to repeat it, `retry_after` (s) what the provider asked.
        """

    def context_window(self, model: str) -> int:
        """Tokens that fit into one call, prompt and answer together."""

    def count_tokens(self, model: str, text: str) -> int:
        """Tokens of the text for this model: exact where its tokenizer is at hand, else an over-estimate."""


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool as its server lists it. `read` is true only where a trusted server says `readOnlyHint`."""

    server: str
    name: str
    title: str
    description: str
    input_schema: JsonObject
    schema_hash: str
    read: bool
    destructive: bool
    idempotent: bool
    trusted: bool
    tags: tuple[str, ...] = ()
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class Acting:
    """The person whom Kubernetes shall see behind a request, under the names that Kubernetes knows."""

    user: str
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """The leave to run one approved change once. The adapter signs it; `expires_in` (s) is for its arrival."""

    approval_id: str
    run_id: str
    approver: str
    preconditions: JsonObject | None
    expires_in: float


@dataclass(frozen=True, slots=True)
class ToolRequest:
    """`send_before` is by `Clock.boot`: later than that it is not sent any more. `deadline` is in seconds.

    `acting` is set for servers that act in people's names: the requester of a read, the approver of a change.
    """

    server: str
    tool: str
    args: str
    deadline: float
    schema_hash: str = ""
    acting: Acting | None = None
    grant: Grant | None = None
    send_before: float | None = None


@dataclass(frozen=True, slots=True)
class ToolReply:
    """What became of one request, as far as can be known (`protocol.md` 12).

    `failed` with `effect` "none" says that nothing was changed. Everything that can't be known is `unknown`.
    """

    outcome: Literal["succeeded", "failed", "unknown"]
    content: Sequence[Json] = ()
    structured: JsonObject | None = None
    error: str | None = None
    code: str | None = None
    effect: Literal["none", "done", "partial", "unknown"] = "unknown"


@dataclass(frozen=True, slots=True)
class Preview:
    """What a change would do, said by its server before anyone approves."""

    summary: str
    risk: Literal["low", "medium", "high", "destructive"]
    objects: tuple[str, ...] = ()
    preconditions: JsonObject | None = None
    shown: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """Whether a grant ever ran. `never_ran` is final: the server refuses that grant from now on."""

    state: Literal["never_ran", "started", "succeeded", "failed", "cannot_tell"]
    reply: ToolReply | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the objects of a preview look like now. Never proof."""

    verdict: Literal["looks_applied", "looks_not_applied", "cannot_tell"]
    detail: str


Progress = Callable[[str | None, float | None, float | None], Awaitable[None]]


class ToolServer(Protocol):
    """All configured tool servers behind one face. Only `services/ledger.py` calls it."""

    async def tools(self) -> Mapping[str, ToolSpec]:
        """By name, as last listed; refreshed when a server says that its list changed. Empty while all are down."""

    async def call(self, request: ToolRequest, progress: Progress | None = None) -> ToolReply:
        """Puts at most one request on the wire. Cancelling it cancels a read; a granted change runs on."""

    async def preview(self, spec: ToolSpec, args: str, acting: Acting | None = None) -> Preview | ToolReply:
        """The companion's answer, or the failed reply where it refused."""

    async def settle(self, server: str, approval_id: str) -> Settlement: ...

    async def evidence(
        self, server: str, tool: str, args: str, preconditions: JsonObject | None, acting: Acting | None = None
    ) -> Evidence: ...
