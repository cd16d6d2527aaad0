"""Read from a row of a table whether the object has a problem."""

import re

__all__ = [
    "deployment_problem",
    "is_running_and_ready",
    "node_problem",
    "parse_age",
    "parse_restarts",
    "pod_problem",
    "problem_of",
]

Row = dict[str, str]
RECENT_SECONDS = 60
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 31_536_000}
_RESTARTS = re.compile(r"^(\d+)(?: \((\S+) ago\))?")


def problem_of(kind: str, row: Row) -> str:
    """Return what is wrong with an object in a few words; empty if its row shows nothing wrong."""
    checks = {
        "daemonsets": _daemon_set_problem,
        "deployments": deployment_problem,
        "jobs": _job_problem,
        "namespaces": _namespace_problem,
        "nodes": node_problem,
        "persistentvolumeclaims": _claim_problem,
        "pods": pod_problem,
        "replicasets": _replica_set_problem,
        "statefulsets": deployment_problem,
    }
    return checks[kind](row) if kind in checks else ""


def pod_problem(row: Row) -> str:
    status = row.get("STATUS", "")
    ready, wanted = _fraction(row.get("READY", ""))
    if status in ("Completed", "Succeeded", "Terminating"):
        return ""
    if status and status != "Running":
        return status
    if ready < wanted:
        return f"Running, but {ready} of {wanted} containers ready"
    restarts, ago = parse_restarts(row)
    if restarts >= 2 and ago is not None and ago < RECENT_SECONDS:
        return f"restarted {restarts} times, the last time within a minute"
    return ""


def is_running_and_ready(row: Row) -> bool:
    """Whether all containers of a pod run and are ready now."""
    ready, wanted = _fraction(row.get("READY", ""))
    return row.get("STATUS") == "Running" and 0 < wanted <= ready


def deployment_problem(row: Row) -> str:
    ready, wanted = _fraction(row.get("READY", ""))
    if ready < wanted:
        return f"{ready} of {wanted} replicas ready"
    updated = row.get("UP-TO-DATE", "")
    if updated.isdigit() and int(updated) < wanted:
        return f"{updated} of {wanted} replicas updated"
    return ""


def node_problem(row: Row) -> str:
    status = row.get("STATUS", "")
    return "" if status == "Ready" else status


def parse_restarts(row: Row) -> tuple[int, int | None]:
    """Return the number of restarts and the seconds since the last one, None where the row lacks it."""
    match = _RESTARTS.match(row.get("RESTARTS", ""))
    if match is None:
        return 0, None
    return min(int(match[1]), 10**6), parse_age(match[2]) if match[2] else None


def parse_age(age: str) -> int:
    """Convert an age such as `3d4h` to seconds."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d{1,9})([smhdy])", age))


def _daemon_set_problem(row: Row) -> str:
    ready, wanted = row.get("READY", ""), row.get("DESIRED", "")
    both = ready.isdigit() and wanted.isdigit()
    return f"{ready} of {wanted} pods ready" if both and int(ready) < int(wanted) else ""


def _replica_set_problem(row: Row) -> str:
    """Pods that were not created, by a quota for example. Pods that are not ready show up as pods."""
    current, wanted = row.get("CURRENT", ""), row.get("DESIRED", "")
    both = current.isdigit() and wanted.isdigit()
    return f"{current} of {wanted} pods created" if both and int(current) < int(wanted) else ""


def _job_problem(row: Row) -> str:
    return "failed" if row.get("STATUS", "") in ("Failed", "FailureTarget") else ""


def _claim_problem(row: Row) -> str:
    status = row.get("STATUS", "")
    return "" if status in ("", "Bound") else status


def _namespace_problem(row: Row) -> str:
    return "" if row.get("STATUS") == "Active" else row.get("STATUS", "")


def _fraction(text: str) -> tuple[int, int]:
    ready, _, wanted = text.partition("/")
    return (int(ready), int(wanted)) if ready.isdigit() and wanted.isdigit() else (0, 0)
