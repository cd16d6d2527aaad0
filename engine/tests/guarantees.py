"""What the engine promises: each promise once, tied to its tests both ways (`support/plugin.py`).

A test claims one with `@pytest.mark.promise("once")`. A claim of an id that is not here stops the collection; a promise
without a test fails `unit/test_guarantees.py`. `python -m tests.guarantees` writes docs/guarantees.md from this list.
"""

from dataclasses import dataclass
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "guarantees.md"


@dataclass(frozen=True, slots=True)
class Promise:
    """One promise. `source` names the rules behind it; `issue` is the one that will bring what is not built yet."""

    id: str
    sentence: str
    source: str
    issue: int | None = None

    @property
    def status(self) -> str:
        return "promised" if self.issue is None else f"not yet promised (issue {self.issue})"


@dataclass(frozen=True, slots=True)
class Chapter:
    title: str
    promises: tuple[Promise, ...]


EXECUTION = Chapter(
    "Execution",
    (
        Promise(
            "once",
            "One approval lets a change run at most one time, however often it is decided, whoever crashes, however "
            "many replicas run and whatever the network repeats.",
            "protocol 10, 11, 13",
        ),
        Promise(
            "bound",
            "What runs is what was shown, to the byte: cluster, server, tool, the tool's schema, arguments and run. "
            "A masked value is shown by its length and a keyed fingerprint, and the digest covers the real one.",
            "protocol 6, 16",
        ),
        Promise(
            "no-approval-no-effect",
            "No tool that may change something is called without an approval that this call uses up, or a policy's "
            "grant that is recorded as one.",
            "protocol 10; only the ledger calls the tool port",
        ),
        Promise(
            "fail-closed",
            "Where the engine cannot tell that a call is harmless (unknown tool, missing or changed annotations, "
            "another schema, a policy that errs, a store that is down), it asks a person or refuses.",
            "protocol 12, 13, 16",
        ),
        Promise(
            "unknown",
            "An outcome that nobody can know is recorded as unknown: never run again by itself, shown to people, told "
            "to the model, and settled only by proof or by a person.",
            "protocol 12, 14, 15",
        ),
        Promise(
            "whole-calls",
            "A tool call exists only when the model has finished saying it; a cut stream yields none, and broken JSON "
            "is never mended into one.",
            "protocol 8",
        ),
        Promise(
            "no-injection",
            "No argument can add to, split or become a flag, a path or a query of another command.",
            "the tool server's own rules",
        ),
    ),
)

APPROVALS = Chapter(
    "Approvals",
    (
        Promise(
            "one-decision",
            "The first valid decision stands. The same person deciding the same again gets the same answer; anybody "
            "else is told who decided what, and when. Where the policy asks two people, two different ones make it.",
            "protocol 4, 10",
        ),
        Promise(
            "authorised",
            "Only a signed-in person with the right to that conversation decides: never somebody anonymous, never a "
            "machine. Every route that exists stands in one table of routes and roles.",
            "the roles of the HTTP contract",
        ),
        Promise(
            "two-clocks",
            "An approval that waits dies at its deadline, and so does an approved change that was not started in "
            "time. Nothing is ever approved because time ran out.",
            "protocol 5, 10",
        ),
        Promise(
            "fresh",
            "A change whose object has meanwhile been given other values stops as stale and asks anew. Status and "
            "bookkeeping do not count, and a later change is previewed only when the earlier one on its object is "
            "settled.",
            "protocol 17",
        ),
        Promise(
            "edits-are-new",
            "Editing what is to be approved makes a new approval with its own digest and the editor's name; the old "
            "one is superseded.",
            "protocol 16",
        ),
        Promise(
            "reason-travels",
            "Why a change was denied reaches the model and the record; who approved it reaches the audit log of "
            "Kubernetes.",
            "the tool server's grants",
        ),
        Promise(
            "policy",
            "One policy allows, asks, asks two people or denies, by tool, verb, kind, namespace, cluster, user and "
            "time; a policy that errs means ask or deny.",
            "protocol 10",
        ),
    ),
)

RUNS = Chapter(
    "Runs and streams",
    (
        Promise(
            "detached",
            "Closing the page changes nothing. Only Stop stops a run.",
            "protocol 9, 20",
        ),
        Promise(
            "replay",
            "A client that returns with any event id ends in the same state as one that never left; while the live "
            "buffer lasts it gets the same bytes.",
            "protocol 18, 19, 20",
        ),
        Promise(
            "ordered",
            "The event numbers of a run rise and never repeat. Numbers may be left out.",
            "protocol 18",
        ),
        Promise(
            "one-owner",
            "At most one worker writes for a run; what a frozen one writes after its lease is refused.",
            "protocol 7",
        ),
        Promise(
            "recovery",
            "After a kill every run comes to rest within one lease and one sweep, and waiting approvals survive.",
            "protocol 4, 7",
        ),
        Promise(
            "stop",
            "After Stop no tool starts, no token is made and the model's connection is closed; a change already on "
            "its way ends as its result or as unknown.",
            "protocol 9",
        ),
        Promise(
            "one-run",
            "A conversation has one run at a time: a further message is refused, waits or interrupts, as the client "
            "asked.",
            "protocol 4, 7",
        ),
        Promise(
            "send-once",
            "The same idempotency key names the same run, before and after a crash.",
            "protocol 22",
        ),
        Promise(
            "doorbell",
            "Losing Redis, or any ring of it, costs time and never data.",
            "protocol 21",
        ),
    ),
)

HYGIENE = Chapter(
    "Hygiene",
    (
        Promise(
            "audit",
            "An append-only, hash-chained record of who asked, what was shown, who decided, what ran and what came of "
            "it, in which an edit, a gap or a cut is found.",
            "protocol 23",
        ),
        Promise(
            "secrets",
            "Values of Kubernetes Secrets, tokens, keys and passwords reach no model, event, log or error.",
            "the event contract and the tool server's limits",
        ),
        Promise(
            "safe-defaults",
            "Outside local mode the engine refuses to start with a default or short secret, without authentication or "
            "on a database that is not migrated. It never falls back in silence.",
            "the settings",
        ),
        Promise(
            "data-not-orders",
            "What a tool returns is marked as data for the model. An order hidden in it leads at most to an approval "
            "that a person sees.",
            "the system prompt and the gate",
        ),
        Promise(
            "contract",
            "OpenAPI and the JSON Schema of all events are generated from the code, and are current.",
            "make generate",
        ),
        Promise(
            "bounded",
            "Every list, body, tool result, event and buffer has a limit, and what was cut says so.",
            "protocol 6, 19",
        ),
    ),
)

CHAPTERS = (EXECUTION, APPROVALS, RUNS, HYGIENE)
PROMISES = {promise.id: promise for chapter in CHAPTERS for promise in chapter.promises}

INTRODUCTION = """\
# What the engine promises

Written by `make generate` from `engine/tests/guarantees.py`; change it there.

A promise counts only with tests that hold the engine to it: each one marked *promised* has at least one, found by
`pytest -m promise` and its id. What is not built yet stands here as *not yet promised*, with the issue that brings it.

An outside effect is not part of any database transaction, so it can be had at most once or at least once, never exactly
once. Changes are at most once here, with a third outcome, *unknown*, and a way to settle it. Reads may be repeated.
"""


def render() -> str:
    """The whole document, ending in one newline."""
    return "\n".join([INTRODUCTION, *(_chapter(chapter) for chapter in CHAPTERS)])


def _chapter(chapter: Chapter) -> str:
    rows = [f"| `{each.id}` | {each.sentence} | {each.source} | {each.status} |" for each in chapter.promises]
    return "\n".join([f"## {chapter.title}\n", "| id | promise | rules | status |", "|---|---|---|---|", *rows, ""])


if __name__ == "__main__":
    DOCUMENT.write_text(render())
