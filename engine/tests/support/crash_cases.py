"""List the cases of the crash suite: every failpoint, with the scenario that reaches it."""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["OTHERS", "OWN_PROVIDER", "OWN_TOOLS", "POLICIES", "SETTINGS", "TRANSACTIONS", "Case", "cases"]

DATABASES = ("sqlite", "postgres")
COMMITS = ("before_commit", "after_commit")


@dataclass(frozen=True)
class Case:
    """One kill: when the `n`-th passage of a failpoint is reached, in a scenario, on a database."""

    point: str
    scenario: str
    database: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.scenario}-{self.point}@{self.nth}-{self.database}"


TRANSACTIONS: dict[str, tuple[str, int]] = {
    "runs.submit.RunSubmission.submit": ("both", 1),
    "runs.leases.Leases.claim": ("both", 1),
    "runs.leases.Leases._renew": ("both", 1),
    "runs.session.StoreRunSession.record_events": ("both", 1),
    "runs.session.StoreRunSession.commit_turn": ("both", 3),
    "tools.ledger.Ledger._begin_reads": ("both", 1),
    "tools.results.ResultRecorder.record_read": ("both", 1),
    "approvals.proposals.Proposals._commit": ("both", 1),
    "approvals.decisions.ApprovalDecisions.decide": ("both", 2),
    "tools.ledger.Ledger._start": ("both", 2),
    "tools.results.ResultRecorder.record_change": ("both", 2),
    "runs.completion.RunCompletion.finish_as_owner": ("both", 1),
    "runs.sweep.Sweep.once": ("both", 1),
    "runs.sweep.Sweep._delete_old_keys": ("forget", 1),
    "runs.sweep.Sweep._expire_one": ("expire", 2),
    "runs.leases.Leases.release": ("shutdown", 1),
    "runs.queries.RunService.stop": ("stop", 1),
    "runs.sweep.Sweep._promote_one": ("queue", 1),
    "runs.sweep.Sweep._requeue_one": ("queue", 1),
    "approvals.edits.ApprovalEdits._replace": ("edit", 1),
    "approvals.reconciliation.Reconciliation._find_unknown": ("settle_by_hand", 2),
    "approvals.reconciliation.Reconciliation._record_evidence": ("settle_by_hand", 1),
    "approvals.reconciliation.Reconciliation._settle_unknown": ("prove_never_ran", 1),
    "conversations.conversations.Conversations.start": ("conversations", 1),
    "conversations.conversations.Conversations.change": ("conversations", 1),
    "conversations.conversations.Conversations.remove": ("conversations", 1),
    "accounts.users.UserDatabase.create": ("accounts", 1),
    "accounts.users.UserDatabase.update": ("accounts", 1),
    "accounts.team.Team.add": ("accounts", 1),
    "accounts.team.Team._update": ("accounts", 2),
    "accounts.team.Team.make_reset_link": ("accounts", 1),
    "accounts.sessions.Sessions.begin": ("accounts", 1),
    "accounts.sessions.Sessions.issue": ("accounts", 1),
    "accounts.sessions.Sessions.renew": ("accounts", 1),
    "accounts.sessions.Sessions.end": ("accounts", 1),
    "runs.sweep.Sweep._stop_one": ("removal", 1),
    "runs.sweep.Sweep._erase_one": ("erased", 2),
    "runs.sweep.Sweep._delete_one": ("expired", 1),
    "accounts.oidc.service.OidcSignIn._begin_session": ("by_provider", 1),
    "accounts.host_admin.HostAdmin._change": ("by_host", 1),
    "conversations.retention.Pruning._delete": ("pruned", 1),
    "accounts.api_tokens.ApiTokens.add": ("accounts", 1),
    "accounts.api_tokens.ApiTokens.revoke": ("accounts", 1),
    "integrations.credentials.CredentialStore.put": ("integrations", 1),
    "integrations.credentials.CredentialStore.discard": ("integrations", 1),
    "integrations.credentials.CredentialStore._claim": ("integrations", 1),
    "integrations.credentials.CredentialStore._delete_record": ("integrations", 1),
    "integrations.service.Integrations.add": ("integrations", 1),
    "integrations.service.Integrations._update": ("integrations", 1),
    "integrations.service.Integrations._mark_unreadable": ("integrations", 1),
    "integrations.service.Integrations.remove": ("integrations", 1),
    "accounts.failed_logins.FailedLogins._record_attempts": ("accounts", 1),
    "audit.sealing.Sealer._seal_next": ("accounts", 1),
    "runs.budgets.Budgets.warn": ("near_budget", 1),
    "runs.titles.TitleGenerator._save": ("named", 1),
    "runs.summaries.Summaries.save": ("compacted", 1),
    "policy.audited.AuditedPolicies._record": ("allowed", 1),
}
"""Each transaction of the services: the scenario that reaches it, and how many passages become cases."""

OTHERS: dict[str, tuple[int, ...]] = {
    "ledger.preview:before": (1, 2),
    "ledger.preview:after": (1, 2),
    "ledger.read:before": (1,),
    "ledger.read:after": (1,),
    "ledger.send:before": (1, 2),
    "ledger.send:after": (1, 2),
    "model.open:before": (1, 2, 3),
    "bus.publish:before": (1, 9),
    "bus.publish:after": (1, 9),
}
"""Failpoints between transactions; the scenario `both` reaches all of them."""

ALLOWED: dict[str, int] = {
    "runs.leases.Leases.claim": 1,
    "runs.session.StoreRunSession.commit_turn": 2,
    "approvals.proposals.Proposals._commit": 1,
    "tools.ledger.Ledger._start": 2,
    "tools.results.ResultRecorder.record_change": 2,
    "runs.completion.RunCompletion.finish_as_owner": 1,
}
"""The transactions of a change that a policy allows, repeated in the scenario `allowed`."""

POLICIES = {"allowed": "rules: [{name: free, decision: allow, tools: change_thing}]"}
"""Policies of the engines, by scenario."""

SETTINGS = {
    "accounts": {"AUDIT_SEAL_SECONDS": "1"},
    "expire": {"APPROVE_WITHIN_SECONDS": "1"},
    "named": {"LLM_TITLES": "true"},
    "expired": {"RETENTION_DAYS": "7"},
    "compacted": {"LLM_CONTEXT_WINDOW": "8192"},
    "near_budget": {"BUDGET_RUN_TOKENS": "1000"},
    "by_provider": {
        "OIDC_CLIENT_ID": "the-engine",
        "OIDC_ROLES": '{"admins": "admin"}',
        "PUBLIC_URL": "http://localhost",
    },
}
OWN_PROVIDER = ("by_provider",)
"""Scenarios whose engine has an OpenID provider."""
OWN_TOOLS = ("settle_by_hand", "prove_never_ran")
"""Scenarios that make the tool server fail. Each has its own, so that no other scenario sees the failures."""


def cases() -> Iterator[Case]:
    for database in DATABASES:
        for point, (scenario, passages) in TRANSACTIONS.items():
            for moment in COMMITS:
                for nth in range(1, passages + 1):
                    yield Case(f"{point}:{moment}", scenario, database, nth)
        for point, nths in OTHERS.items():
            yield from (Case(point, "both", database, nth) for nth in nths)
        yield from _allowed(database)


def _allowed(database: str) -> Iterator[Case]:
    for point, passages in ALLOWED.items():
        for moment in COMMITS:
            yield from (Case(f"{point}:{moment}", "allowed", database, nth) for nth in range(1, passages + 1))
    for point in ("ledger.preview:after", "ledger.send:before", "ledger.send:after"):
        yield from (Case(point, "allowed", database, nth) for nth in OTHERS[point])
