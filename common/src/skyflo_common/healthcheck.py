"""Ask a server on this machine for its health: `python -m skyflo_common.healthcheck URL`.

For container images, which have neither a shell nor curl. Exits with 0 for the answer 200 and with 1 for anything else.
Uses no proxy, and only the standard library, because it runs every few seconds.
"""

import http.client
import sys
from urllib.parse import urlsplit

__all__ = ["find_problem", "main"]

_WITHIN_SECONDS = 4.0
_MAX_SHOWN_BYTES = 2_000


def main() -> int:
    """Print the problem, if there is one, and return the exit code."""
    if len(sys.argv) != 2:
        sys.stderr.write("usage: python -m skyflo_common.healthcheck URL\n")
        return 2
    problem = find_problem(sys.argv[1])
    if problem is None:
        return 0
    sys.stderr.write(f"{problem}\n")
    return 1


def find_problem(url: str) -> str | None:
    """Return why the server is not healthy, or None. Waits for a few seconds at most for each part of the answer."""
    parts = urlsplit(url)
    if parts.scheme != "http" or parts.hostname is None:
        return f"{url} is not an http:// address"
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=_WITHIN_SECONDS)
    try:
        connection.request("GET", parts.path or "/", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(_MAX_SHOWN_BYTES).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        return f"{url} does not answer: {error}"
    finally:
        connection.close()
    return None if answer.status == 200 else f"{url} answers {answer.status}: {body}"


if __name__ == "__main__":
    sys.exit(main())
