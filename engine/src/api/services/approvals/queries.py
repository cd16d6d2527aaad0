"""Read approvals for callers: one with its history, or a page of the inbox."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from src.api.agent.policy_facts import targets_of_objects
from src.api.errors import NotFound
from src.api.ports import Clock, Policies, Reader, Store
from src.api.schemas.approvals import ApprovalStatus, Risk
from src.api.schemas.base import JsonObject
from src.api.schemas.feed import InboxCounts
from src.api.schemas.query import Condition, KeysetRange, Where
from src.api.schemas.records import Approval, Call, Conversation, Execution, User
from src.api.schemas.runs import ApprovalPage, ApprovalView, Page
from src.api.services.access import Caller, Role, get_visible_conversation
from src.api.services.accounts.accounts import LOCAL_ADMIN
from src.api.services.accounts.impersonation import Impersonation
from src.api.services.approvals.rights import DecisionRights
from src.api.services.approvals.views import ApprovalRows, build_view, describe_request, find_problem, read_rows
from src.api.services.pagination import Cursor
from src.api.utils.json_columns import load_list

__all__ = ["ApprovalQueries", "InboxFilter"]

MAX_OWN_CONVERSATIONS = 10_000
CONVERSATION_BATCH = 500
SCAN_BATCH = 100
MAX_SCANNED = 2_000
"""Approvals that one request looks at for a condition that SQL can't express."""

MAX_UNKNOWN = 1_000


@dataclass(frozen=True, slots=True)
class InboxFilter:
    """Conditions of the inbox; None matches everything. `requester` is an id or an e-mail address."""

    status: ApprovalStatus | None = None
    outcome: Literal["unknown"] | None = None
    decidable: bool = False
    cluster: str | None = None
    namespace: str | None = None
    risk: Risk | None = None
    requester: str | None = None
    sort: Literal["created_at", "expires_at"] = "created_at"

    @property
    def effective_status(self) -> ApprovalStatus | None:
        """Pending unless something else is asked for. A change with an outcome is not pending."""
        return self.status or (None if self.outcome is not None else "pending")

    @property
    def order(self) -> str:
        return "-created_at,-id" if self.sort == "created_at" else "approve_by,id"

    @property
    def needs_scan(self) -> bool:
        return self.decidable or self.cluster is not None or self.namespace is not None

    def key(self, approval: Approval) -> tuple[int, str]:
        """Return what the rows are ordered by."""
        return (approval.created_at if self.sort == "created_at" else approval.approve_by, approval.id)

    def matches_objects(self, approval: Approval) -> bool:
        if self.cluster is None and self.namespace is None:
            return True
        return any(
            self.cluster in (None, target.cluster)
            and (self.namespace is None or self.namespace in (target.namespaces or ()))
            for target in targets_of_objects(load_list(approval.objects)) or ()
        )


@dataclass(slots=True)
class ApprovalQueries:
    """Read approvals."""

    store: Store
    policies: Policies
    impersonation: Impersonation
    clock: Clock

    async def get(self, caller: Caller, call_id: str) -> ApprovalView:
        """Return one approval. Raises `NotFound` also if the caller may not see its conversation."""
        policy = await self.policies.current()

        async def body(reader: Reader) -> ApprovalView:
            approval = await reader.get(Approval, id=call_id)
            if approval is None:
                raise NotFound("There is no such approval.")
            await get_visible_conversation(reader, caller, approval.conversation_id)
            [view] = await self._views(
                reader, caller, [approval], await DecisionRights.load(reader, policy, self.impersonation)
            )
            return view

        return await self.store.read(body)

    async def page(self, caller: Caller, wanted: InboxFilter, cursor: str | None, limit: int) -> ApprovalPage:
        """List the matching approvals of every conversation that the caller may see.

        The newest comes first, or with `sort` the one that expires first. A page may hold fewer than `limit` although
        `has_more` is true.
        """
        after = Cursor.parse(cursor)
        policy = await self.policies.current()

        async def body(reader: Reader) -> ApprovalPage:
            rights = await DecisionRights.load(reader, policy, self.impersonation)
            scopes = await _scopes(reader, caller)
            scan = await _Scan.open(reader, caller, wanted, self._accept(wanted, rights, caller), scopes)
            found, last = await scan.page(after, limit)
            count, is_exact = await scan.count()
            views = await self._views(reader, caller, found, rights)
            next_cursor = None if last is None else str(Cursor(*wanted.key(last)))
            page = Page(limit=limit, next_cursor=next_cursor, has_more=last is not None)
            return ApprovalPage(data=views, pagination=page, count=count, count_is_exact=is_exact, now=self.clock.now())

        return await self.store.read(body)

    async def describer(self, caller: Caller) -> "DescribeApprovals":
        """Return a function that builds views for this caller; see `conversations.timelines.DescribeApprovals`."""
        policy = await self.policies.current()

        async def describe(
            reader: Reader, approvals: Sequence[Approval], calls: Mapping[str, Call]
        ) -> Mapping[str, ApprovalView]:
            rights = await DecisionRights.load(reader, policy, self.impersonation)
            views = await self._views(reader, caller, approvals, rights, calls)
            return {each.call_id: each for each in views}

        return describe

    async def describe_for(self, caller: Caller, call_ids: Sequence[str]) -> dict[str, JsonObject]:
        """Return what `tool.awaiting_approval` says to this reader alone, by call.

        It depends on the team and the policy, and not on what was decided since: a replay says the same.
        """
        policy = await self.policies.current()

        async def body(reader: Reader) -> dict[str, JsonObject]:
            approvals = await reader.find(Approval, {"id": tuple(call_ids)})
            rights = await DecisionRights.load(reader, policy, self.impersonation)
            rows = await read_rows(reader, caller, approvals, with_content=False)
            return {each.id: describe_request(each, rows, rights, caller) for each in approvals}

        return await self.store.read(body)

    async def counts(self, caller: Caller) -> InboxCounts:
        """Count the caller's inbox; each number is `MAX_SCANNED` at most."""
        policy = await self.policies.current()

        async def body(reader: Reader) -> InboxCounts:
            rights = await DecisionRights.load(reader, policy, self.impersonation)
            scopes, numbers = await _scopes(reader, caller), []
            for wanted in (InboxFilter(), InboxFilter(decidable=True), InboxFilter(outcome="unknown")):
                scan = await _Scan.open(reader, caller, wanted, self._accept(wanted, rights, caller), scopes)
                numbers.append(min((await scan.count())[0], MAX_SCANNED))
            waiting, decidable, unknown = numbers
            return InboxCounts(waiting=waiting, decidable=decidable, unknown=unknown)

        return await self.store.read(body)

    async def _views(
        self,
        reader: Reader,
        caller: Caller,
        approvals: Sequence[Approval],
        rights: DecisionRights,
        calls: Mapping[str, Call] | None = None,
    ) -> list[ApprovalView]:
        rows = await read_rows(reader, caller, approvals, calls=calls)
        return [build_view(each, rows, rights, caller, self.clock.now()) for each in approvals]

    def _accept(self, wanted: InboxFilter, rights: DecisionRights, caller: Caller) -> "Accept":
        now = self.clock.now()

        def accept(approval: Approval, rows: ApprovalRows) -> bool:
            conversation = rows.conversations.get(approval.conversation_id)
            if conversation is None or conversation.deleted_at is not None or not wanted.matches_objects(approval):
                return False
            return not wanted.decidable or find_problem(approval, rows, rights, caller, now) is None

        return accept


Accept = Callable[[Approval, ApprovalRows], bool]
DescribeApprovals = Callable[[Reader, Sequence[Approval], Mapping[str, Call]], Awaitable[Mapping[str, ApprovalView]]]


@dataclass(frozen=True, slots=True)
class _Scan:
    """Read matching approvals in the wanted order.

    `scopes` are sets of conditions that together cover what the caller may see. Several scopes are merged.
    """

    reader: Reader
    caller: Caller
    wanted: InboxFilter
    accept: Accept
    scopes: Sequence[Where]

    @classmethod
    async def open(
        cls, reader: Reader, caller: Caller, wanted: InboxFilter, accept: Accept, scopes: Sequence[Where]
    ) -> "_Scan":
        where: dict[str, Condition] = {}
        if wanted.effective_status is not None:
            where["status"] = wanted.effective_status
        if wanted.risk is not None:
            where["risk"] = wanted.risk
        if wanted.requester is not None:
            where["requester_id"] = await _find_requesters(reader, wanted.requester)
        if wanted.outcome is not None:
            unknown = await reader.find(Execution, {"state": wanted.outcome}, "-started_at,-id", MAX_UNKNOWN)
            where["id"] = tuple(each.id for each in unknown)
        return cls(reader, caller, wanted, accept, [{**where, **scope} for scope in scopes])

    async def page(self, after: Cursor | None, limit: int) -> tuple[list[Approval], Approval | None]:
        """Return at most `limit` approvals, and the last one that was looked at if more may follow."""
        found: list[Approval] = []
        last: Approval | None = None
        position = None if after is None else (after.time, after.id)
        for _ in range(0, MAX_SCANNED, SCAN_BATCH):
            batch = await self._read(position, SCAN_BATCH)
            found += await self._filter(batch)
            if len(found) > limit:
                return found[:limit], found[limit - 1]
            if len(batch) < SCAN_BATCH:
                return found, None
            last = batch[-1]
            position = self.wanted.key(last)
        return found, last

    async def count(self) -> tuple[int, bool]:
        """Return how many approvals match, and whether that is exact.

        Without a scan, the number of decided ones includes those of deleted conversations for approvers and admins.
        """
        if not self.wanted.needs_scan:
            groups = [await self.reader.aggregate(Approval, (), scope) for scope in self.scopes]
            is_exact = self.wanted.effective_status == "pending" or not self.caller.role.at_least(Role.APPROVER)
            return sum(row.count for rows in groups for row in rows), is_exact
        count, position = 0, None
        for _ in range(0, MAX_SCANNED, SCAN_BATCH):
            batch = await self._read(position, SCAN_BATCH)
            count += len(await self._filter(batch))
            if len(batch) < SCAN_BATCH:
                return count, True
            position = self.wanted.key(batch[-1])
        return count, False

    async def _read(self, after: tuple[int, str] | None, limit: int) -> list[Approval]:
        wanted = self.wanted
        column, ascending = ("created_at", False) if wanted.sort == "created_at" else ("approve_by", True)
        found: list[Approval] = []
        for scope in self.scopes:
            where = {**scope, column: KeysetRange(after, ascending=ascending)}
            found += await self.reader.find(Approval, where, wanted.order, limit)
        return sorted(found, key=wanted.key, reverse=not ascending)[:limit]

    async def _filter(self, batch: Sequence[Approval]) -> list[Approval]:
        if not batch:
            return []
        rows = await read_rows(self.reader, self.caller, batch, with_content=False)
        return [each for each in batch if self.accept(each, rows)]


async def _scopes(reader: Reader, caller: Caller) -> list[Where]:
    """Return the conditions for what the caller may see: everything, or their own conversations in batches."""
    if caller.role.at_least(Role.APPROVER):
        return [{}]
    scopes: list[Where] = []
    position: tuple[int, str] | None = None
    while len(scopes) * CONVERSATION_BATCH < MAX_OWN_CONVERSATIONS:
        where: Where = {"owner_id": caller.id, "deleted_at": None, "updated_at": KeysetRange(position)}
        own = await reader.find(Conversation, where, "-updated_at,-id", CONVERSATION_BATCH)
        if own:
            scopes.append({"conversation_id": tuple(each.id for each in own)})
            position = (own[-1].updated_at, own[-1].id)
        if len(own) < CONVERSATION_BATCH:
            break
    return scopes


async def _find_requesters(reader: Reader, wanted: str) -> tuple[str, ...]:
    """Return the ids of the user with this id or e-mail address; the local admin is called `local`."""
    if wanted == LOCAL_ADMIN.name:
        return (LOCAL_ADMIN.id,)
    found = await reader.find(User, {"email": wanted.lower()}, limit=2)
    return (wanted, *(each.id for each in found))
