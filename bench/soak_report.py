"""Format the last result of the soak as a section of docs/performance.md."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["format_last_soak", "format_soak", "replace_section"]

HEADING = "## Soak"
_INTRO = """`make soak` writes this section. People ask, follow their answers, approve, deny and stop, through a plain load balancer,
at three engines on one PostgreSQL and one Redis. Meanwhile one part after the other fails. At the end the database, the
tool server's count of effects and the audit log are compared with what the people saw. A problem is a run that is lost or
has not ended, a text with a piece missing or told twice, a stream that ended otherwise than the record says, or a change
that ran twice, ran without its approval, or is recorded wrongly, or a request that was answered with 500."""  # noqa: E501
_FILE = Path(__file__).parent / "soak.json"


def format_last_soak() -> str:
    """Return the section of the last recorded soak; empty without one."""
    return format_soak(json.loads(_FILE.read_text())) if _FILE.exists() else ""


def format_soak(result: Mapping[str, Any]) -> str:
    counts, memory, machine = result["counts"], result["memory"], result["machine"]
    faults = ", ".join(f"{name} {count}" for name, count in result["faults"].items())
    rows = {
        "problems": len(result["problems"]),
        "runs": _join(counts, "runs"),
        "runs taken over after a lost lease": counts["restarts"],
        "changes": f"{_join(counts, 'changes')}; effects at the tool server {counts['effects']}",
        "decisions of people": counts["approvals decided"],
        "streams that were opened again": counts["reconnects"],
        "audit log": result["audit"],
    }
    if memory:
        rows["resident memory of the engine that was never ended"] = (
            f"medians: {memory['first quarter']} MB in the first quarter, {memory['last quarter']} MB in the last one; "
            f"highest {memory['highest']} MB; slope {memory['slope per hour']:+} MB per hour"
        )
    minutes, when = f"{result['minutes']:g} minutes with {result['people']} streams", result["when"]
    before, after = result["load"]
    lines = [
        HEADING,
        "",
        _INTRO,
        "",
        f"{minutes}, {when}, {machine['cores']} cores, Python {machine['python']}.",
        f"The machine was shared: its load average was {before} before and {after} after.",
        f"Faults: {faults or 'none'}.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
    ]
    return "\n".join(lines)


def replace_section(page: str, section: str) -> str:
    """Replace the section at the end of the page, or add it."""
    return f"{page.partition(HEADING)[0].rstrip()}\n\n{section}"


def _join(counts: Mapping[str, int], name: str) -> str:
    parts = [f"{key.removeprefix(name).strip()} {value}" for key, value in counts.items() if key.startswith(f"{name} ")]
    return f"{counts[name]}: {', '.join(parts)}" if parts else str(counts[name])
