"""What the engine logs in place of e-mails, where no mail server is set."""

import re

import pytest

from tests.support.waiting import eventually

__all__ = ["logged_links", "next_link"]

_LINK = re.compile(r"For (\S+): (\S+)#token=(\S+)")


def logged_links(caplog: pytest.LogCaptureFixture, action: str) -> list[tuple[str, str, str]]:
    """To whom, to which page, with which token."""
    told = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == action]
    found = [_LINK.search(text) for text in told]
    return [(match[1], match[2], match[3]) for match in found if match]


async def next_link(caplog: pytest.LogCaptureFixture, action: str) -> str:
    """The token of the next link of this kind; what was logged before is forgotten."""
    await eventually(lambda: bool(logged_links(caplog, action)), what=f"a log line of {action}")
    token = logged_links(caplog, action)[0][2]
    caplog.handler.records.clear()
    return token
