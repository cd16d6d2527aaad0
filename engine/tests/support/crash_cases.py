"""Where the process dies in the crash suite: every failpoint, with the scenario that passes it."""

from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["OTHERS", "OWN_PROVIDER", "OWN_TOOLS", "POLICIES", "SETTINGS", "TRANSACTIONS", "Case", "cases"]

DATABASES = ("sqlite", "postgres")
COMMITS = ("before_commit", "after_commit")


@dataclass(frozen=True)
class Case:
    """Death at the n-th passage of a point, in a scenario, on a database."""

    point: str
    scenario: str
    database: str
    nth: int = 1

    def __str__(self) -> str:
        return f"{self.scenario}-{self.point}@{self.nth}-{self.database}"


TRANSACTIONS: dict[str, tuple[str, int]] = {
    "chat.Chat.submit": ("both", 1),
    "leases.Leases.claim": ("both", 1),
    "leases.Leases._renew": ("both", 1),
    "desk.Desk.note": ("both", 1),
    "desk.Desk.commit_turn": ("both", 3),
    "ledger.Ledger._begin_reads": ("both", 1),
    "outcomes.Outcomes.record_read": ("both", 1),
    "proposals.Proposals._commit": ("both", 1),
    "approvals.Approvals.decide": ("both", 2),
    "ledger.Ledger._start": ("both", 2),
    "outcomes.Outcomes.record_change": ("both", 2),
    "endings.Endings.end_owned": ("both", 1),
    "recovery.Sweep.once": ("both", 1),
    "recovery.Sweep._forget": ("forget", 1),
    "recovery.Sweep._expire_one": ("expire", 2),
    "leases.Leases.release": ("shutdown", 1),
    "runs.Runs.stop": ("stop", 1),
    "recovery.Sweep._promote_one": ("queue", 1),
    "recovery.Sweep._requeue_one": ("queue", 1),
    "editing.Editing._replace": ("edit", 1),
    "verification.Verification._unknown": ("settle_by_hand", 2),
    "verification.Verification._note": ("settle_by_hand", 1),
    "verification.Verification._move": ("prove_never_ran", 1),
    "conversations.Conversations.start": ("conversations", 1),
    "conversations.Conversations.change": ("conversations", 1),
    "conversations.Conversations.remove": ("conversations", 1),
    "users.UserDatabase.create": ("accounts", 1),
    "users.UserDatabase.update": ("accounts", 1),
    "team.Team.add": ("accounts", 1),
    "team.Team._changed": ("accounts", 2),
    "sessions.Sessions.begin": ("accounts", 1),
    "sessions.Sessions.issue": ("accounts", 1),
    "sessions.Sessions.renew": ("accounts", 1),
    "sessions.Sessions.end": ("accounts", 1),
    "recovery.Sweep._stop_one": ("removal", 1),
    "recovery.Sweep._erase_one": ("erased", 2),
    "oidc.OidcSignIn._entered": ("by_provider", 1),
    "tokens.Tokens.add": ("accounts", 1),
    "tokens.Tokens.revoke": ("accounts", 1),
    "keeping.Keeping.put": ("integrations", 1),
    "keeping.Keeping.drop": ("integrations", 1),
    "keeping.Keeping._claim": ("integrations", 1),
    "keeping.Keeping._forget": ("integrations", 1),
    "integrations.Integrations.add": ("integrations", 1),
    "integrations.Integrations._changed": ("integrations", 1),
    "integrations.Integrations._unreadable": ("integrations", 1),
    "integrations.Integrations.remove": ("integrations", 1),
    "failures.FailedLogins._tell": ("accounts", 1),
    "sealer.Sealer._one": ("accounts", 1),
    "titles.Titles._keep": ("named", 1),
    "told.ToldPolicies._tell": ("allowed", 1),
}
"""Each transaction of the services: the scenario that passes it, and how many of its passages are cases."""

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
"""Points between transactions, all passed by the scenario `both`."""

ALLOWED: dict[str, int] = {
    "leases.Leases.claim": 1,
    "desk.Desk.commit_turn": 2,
    "proposals.Proposals._commit": 1,
    "ledger.Ledger._start": 2,
    "outcomes.Outcomes.record_change": 2,
    "endings.Endings.end_owned": 1,
}
"""The transactions of a change that begins with a policy's yes, again, in the scenario of that name."""

POLICIES = {"allowed": "rules: [{name: free, decision: allow, tools: change_thing}]"}
"""Scenarios of engines with a policy."""

SETTINGS = {
    "accounts": {"AUDIT_SEAL_SECONDS": "1"},
    "expire": {"APPROVE_WITHIN_SECONDS": "1"},
    "named": {"LLM_TITLES": "true"},
    "by_provider": {
        "OIDC_CLIENT_ID": "the-engine",
        "OIDC_ROLES": '{"admins": "admin"}',
        "PUBLIC_URL": "http://localhost",
    },
}
OWN_PROVIDER = ("by_provider",)
"""Scenarios of engines that have an OpenID provider."""
OWN_TOOLS = ("settle_by_hand", "prove_never_ran")
"""Scenarios in which the tool server fails: one of their own, so that it fails nobody else."""


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
