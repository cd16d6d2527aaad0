"""Whether a row of a table tells of something that is not well."""

import re

__all__ = ["deployment_trouble", "is_up", "node_trouble", "pod_trouble", "restarts_of", "seconds_of", "trouble_of"]

Row = dict[str, str]
RECENT_SECONDS = 60
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 31_536_000}
_RESTARTS = re.compile(r"^(\d+)(?: \((\S+) ago\))?")


def trouble_of(kind: str, row: Row) -> str:
    """What is wrong with the object, in a few words; empty if nothing is, or nothing can be told."""
    told = {"pods": pod_trouble, "deployments": deployment_trouble, "nodes": node_trouble}
    told |= {"statefulsets": deployment_trouble, "daemonsets": _daemon_trouble, "namespaces": _namespace_trouble}
    return told[kind](row) if kind in told else ""


def pod_trouble(row: Row) -> str:
    status = row.get("STATUS", "")
    ready, wanted = _fraction(row.get("READY", ""))
    if status in ("Completed", "Succeeded", "Terminating"):
        return ""
    if status and status != "Running":
        return status
    if ready < wanted:
        return f"Running, but {ready} of {wanted} containers ready"
    restarts, ago = restarts_of(row)
    if restarts >= 2 and ago is not None and ago < RECENT_SECONDS:
        return f"restarted {restarts} times, lately"
    return ""


def is_up(row: Row) -> bool:
    """Whether all of a pod's containers run and are ready at this moment, whatever was before."""
    ready, wanted = _fraction(row.get("READY", ""))
    return row.get("STATUS") == "Running" and 0 < wanted <= ready


def deployment_trouble(row: Row) -> str:
    ready, wanted = _fraction(row.get("READY", ""))
    if ready < wanted:
        return f"{ready} of {wanted} replicas ready"
    updated = row.get("UP-TO-DATE", "")
    if updated.isdigit() and int(updated) < wanted:
        return f"{updated} of {wanted} replicas updated"
    return ""


def node_trouble(row: Row) -> str:
    status = row.get("STATUS", "")
    return "" if status == "Ready" else status


def restarts_of(row: Row) -> tuple[int, int | None]:
    """How often, and how many seconds ago the last time, where that is told."""
    match = _RESTARTS.match(row.get("RESTARTS", ""))
    if match is None:
        return 0, None
    return min(int(match[1]), 10**6), seconds_of(match[2]) if match[2] else None


def seconds_of(age: str) -> int:
    """`3d4h` in seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d{1,9})([smhdy])", age))


def _daemon_trouble(row: Row) -> str:
    ready, wanted = row.get("READY", ""), row.get("DESIRED", "")
    both = ready.isdigit() and wanted.isdigit()
    return f"{ready} of {wanted} pods ready" if both and int(ready) < int(wanted) else ""


def _namespace_trouble(row: Row) -> str:
    return "" if row.get("STATUS") == "Active" else row.get("STATUS", "")


def _fraction(text: str) -> tuple[int, int]:
    ready, _, wanted = text.partition("/")
    return (int(ready), int(wanted)) if ready.isdigit() and wanted.isdigit() else (0, 0)
