"""The forms of URLs in settings."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

__all__ = ["BaseUrl", "HttpUrl", "ServerUrl"]


def _check(url: str) -> str:
    """Return the URL if it names a host and, if any, a port that exists. The message does not quote it: it may hold a
    password.
    """
    try:
        parts = urlsplit(url)
        is_complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_complete = False
    if not is_complete:
        raise ValueError("its host or port can't be read; write it as https://host:port/path")
    return url


HttpUrl = Annotated[str, Field(pattern=r"^https?://\S+$", max_length=2_000), AfterValidator(_check)]
"""Any URL; it may hold a user and a password."""

ServerUrl = Annotated[str, Field(pattern=r"^https?://[^\s/@]+(/\S*)?$", max_length=2_000), AfterValidator(_check)]
"""A URL without user and password."""

BaseUrl = Annotated[str, Field(pattern=r"^https?://[^\s/@?#]+(/[^\s?#]*)?$", max_length=2_000), AfterValidator(_check)]
"""A URL to which paths are appended: without user, query and fragment."""
