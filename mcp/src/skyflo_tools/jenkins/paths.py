"""Names of jobs and their paths: `team/app/feature%2Fx` is `job/team/job/app/job/feature%252Fx/`."""

from urllib.parse import quote, unquote, urlsplit

from skyflo_tools.errors import InvalidArguments


def job_path(name: str) -> str:
    """Return the path of a job. Each part of its name is one item; a slash within an item is written %2F.

    Raises InvalidArguments for empty parts and for `.` and `..`, which would lead elsewhere.
    """
    parts = name.strip("/").split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise InvalidArguments(f"{name!r} is no name of a job", hint="write folder/job, as jenkins_get_jobs lists it")
    return "".join(f"job/{quote(part, safe='')}/" for part in parts)


def job_name(url: str) -> str:
    """Return a job's name from a link. Only its path counts: the root may be another than the address that is used."""
    parts, names = urlsplit(url).path.split("/"), []
    at = parts.index("job") if "job" in parts else len(parts)
    while at + 1 < len(parts) and parts[at] == "job":
        names.append(unquote(parts[at + 1]))
        at += 2
    return "/".join(names)


def queue_number(location: str) -> int | None:
    """Return the number of the queue item that a `Location` names."""
    parts = [part for part in urlsplit(location).path.split("/") if part]
    return int(parts[-1]) if len(parts) > 1 and parts[-2] == "item" and parts[-1].isdigit() else None
