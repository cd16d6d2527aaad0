"""The promises of the engine, each linked to its tests and to the rules in `docs/protocol.md` that prove it.

A test claims a promise with `@pytest.mark.promise("once")`. Collection stops when a test claims an unknown id
(`support/plugin.py`); `unit/test_guarantees.py` fails for a promise without a test. `python -m tests.guarantees` writes
`docs/guarantees.md` from this list.
"""

from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guarantees.md"


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise about the engine's behaviour.

    `rules` are numbers of rules in `docs/protocol.md`. `basis` names what else the promise rests on. `issue` is the
    issue that will implement a promise that is not kept yet.
    """

    id: str
    sentence: str
    rules: tuple[int, ...] = ()
    basis: str = ""
    issue: int | None = None

    @property
    def status(self) -> str:
        return "promised" if self.issue is None else f"not yet promised (issue {self.issue})"

    @property
    def source(self) -> str:
        """Links to the rules, then the basis, as Markdown."""
        links = ", ".join(f"[{number}](protocol.md#rule-{number})" for number in self.rules)
        return "; ".join(part for part in (links, self.basis) if part)


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    promises: tuple[Promise, ...]


EXECUTION = Chapter(
    "Execution",
    (
        Promise(
            "once",
            "A change runs at most once per approval, despite duplicate and concurrent decisions, crashes at any "
            "step, several replicas and repeated network requests.",
            rules=(10, 11, 13),
        ),
        Promise(
            "bound",
            "Exactly what was shown runs, byte for byte: cluster, server, tool, the tool's schema, arguments and "
            "run. A masked value is shown as its length and a keyed fingerprint; the digest covers the real value.",
            rules=(6, 16),
        ),
        Promise(
            "no-approval-no-effect",
            "No tool that may change something is called unless the call consumes an approval. A change that a "
            "policy allows has an approval as well, recorded in the policy's name.",
            rules=(10,),
            basis="only the ledger calls the tool port",
        ),
        Promise(
            "fail-closed",
            "When the engine cannot establish that a call is harmless, it asks for approval or refuses. This covers "
            "unknown tools, missing or changed annotations, changed schemas, policy errors and an unavailable store.",
            rules=(12, 13, 16),
        ),
        Promise(
            "unknown",
            "An outcome that cannot be known is recorded as unknown. The call is never repeated automatically, "
            "people and the model are informed, and only proof or a person settles it.",
            rules=(12, 14, 15),
        ),
        Promise(
            "whole-calls",
            "A tool call exists only when the model has sent it completely. A stream that is cut yields no call, and "
            "broken JSON is never repaired into one.",
            rules=(8,),
        ),
        Promise(
            "no-injection",
            "No argument can add, split or become a flag, a path or a query of another command.",
            basis="argument checks of the tool server",
        ),
    ),
)

APPROVALS = Chapter(
    "Approvals",
    (
        Promise(
            "one-decision",
            "The first valid decision wins. The same decision by the same person gets the same answer; any other "
            "decision is refused with who decided and when. If the policy requires two people, two different people "
            "must approve.",
            rules=(4, 10),
        ),
        Promise(
            "authorised",
            "Only a signed-in person with the right to decide on the conversation can decide; anonymous requests and "
            "machine tokens cannot. One test table covers every route and role.",
            basis="roles and routes of the HTTP API",
        ),
        Promise(
            "deadlines",
            "A pending approval expires at its deadline, and so does an approved change that was not started in "
            "time. Nothing is ever approved by a timeout.",
            rules=(5, 10),
        ),
        Promise(
            "fresh",
            "If the values that a change touches differ from its preview, the change stops as stale and asks for "
            "approval again. Status and bookkeeping fields do not count. A later change of the turn to the same "
            "object is previewed only after the earlier one is settled.",
            rules=(17,),
        ),
        Promise(
            "edits-are-new",
            "Editing a proposed change creates a new approval with its own digest and records the editor. The old "
            "approval is superseded.",
            rules=(16,),
        ),
        Promise(
            "attribution",
            "The reason for a denial reaches the model and the audit log. The approver's name reaches the audit log "
            "of Kubernetes.",
            basis="grants and impersonation",
        ),
        Promise(
            "policy",
            "A policy allows, asks, requires two people or denies, by tool, verb, kind, namespace, cluster, user and "
            "time. An error in a policy means ask or deny.",
            rules=(10,),
        ),
    ),
)

RUNS = Chapter(
    "Runs and streams",
    (
        Promise(
            "detached",
            "A run continues when its clients disconnect. Only Stop stops it.",
            rules=(9, 20),
        ),
        Promise(
            "replay",
            "A client that reconnects with any event id reaches the same state as a client that stayed connected. "
            "Within the live buffer it receives the same bytes.",
            rules=(18, 19, 20),
        ),
        Promise(
            "last-event",
            "A stream never ends silently: its last event says how the run rests, or is an `error` event that says "
            "why the stream ended. A client that comes back with the last id gets the last event again.",
            rules=(18, 20),
        ),
        Promise(
            "ordered",
            "The event numbers of a run strictly increase and never repeat. There may be gaps.",
            rules=(18,),
        ),
        Promise(
            "one-owner",
            "At most one worker writes for a run. Writes of a worker that was frozen past its lease are refused.",
            rules=(7,),
        ),
        Promise(
            "recovery",
            "After SIGKILL every run reaches a resting state within one lease and one sweep interval, and pending "
            "approvals survive.",
            rules=(4, 7),
        ),
        Promise(
            "stop",
            "After Stop no tool starts, no token is generated and the model's connection is closed. A change in "
            "flight ends with its result or as unknown.",
            rules=(9,),
        ),
        Promise(
            "one-run",
            "A conversation has at most one active run. Another message is refused, queued or interrupts the run, as "
            "the client chose.",
            rules=(4, 7),
        ),
        Promise(
            "send-once",
            "Requests with the same idempotency key get the same run, before and after a crash.",
            rules=(22,),
        ),
        Promise(
            "bus-loss",
            "Losing Redis, or any notification sent through it, costs latency and never data.",
            rules=(21,),
        ),
    ),
)

SECURITY = Chapter(
    "Security and limits",
    (
        Promise(
            "audit",
            "The append-only, hash-chained audit log records who asked, what was shown, who decided, what ran and "
            "how it ended. A check detects edits, gaps and truncation.",
            rules=(23,),
        ),
        Promise(
            "secrets",
            "Values of Kubernetes Secrets, tokens, keys and passwords never reach a model, an event, a log or an "
            "error.",
            basis="the event schema and masking at the tool server",
        ),
        Promise(
            "safe-defaults",
            "Outside local mode the engine refuses to start with a default or short secret, without authentication, "
            "or on a database that is not migrated. It never falls back silently.",
            basis="validation of the settings",
        ),
        Promise(
            "prompt-injection",
            "Tool results are marked as data for the model. An instruction hidden in a result leads at most to an "
            "approval that a person decides on.",
            basis="the system prompt and the gate",
        ),
        Promise(
            "contract",
            "OpenAPI and the JSON Schema of all events are generated from the code and are current.",
            basis="`make generate`",
        ),
        Promise(
            "bounded",
            "Every list, body, tool result, event and buffer has a size limit, and truncated content is marked as "
            "truncated.",
            rules=(6, 19),
        ),
    ),
)

CHAPTERS = (EXECUTION, APPROVALS, RUNS, SECURITY)
PROMISES = {promise.id: promise for chapter in CHAPTERS for promise in chapter.promises}

INTRODUCTION = """\
# What the engine promises

Generated by `make generate` from `engine/tests/guarantees.py`; edit that file, not this one.

Each promise marked *promised* has at least one test: `pytest -m promise` runs them all, and the id in the test's mark
names the promise. A promise that is not implemented yet is marked *not yet promised*, with its issue. The column
*rules* links to the rules in [protocol.md](protocol.md) that make the promise true.

An outside effect is not part of a database transaction, so it can happen at most once or at least once, never exactly
once. The engine runs changes at most once. A third outcome, *unknown*, covers a lost answer and can be settled later.
Reads may be repeated.
"""


def render() -> str:
    """Render docs/guarantees.md, ending in one newline."""
    return "\n".join([INTRODUCTION, *(_render_chapter(chapter) for chapter in CHAPTERS)])


def _render_chapter(chapter: Chapter) -> str:
    rows = [f"| `{each.id}` | {each.sentence} | {each.source} | {each.status} |" for each in chapter.promises]
    return "\n".join([f"## {chapter.title}\n", "| id | promise | rules | status |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    DOCUMENT.write_text(render())
