"""Lists that are plain JSON arrays: the next page is in the header `Link` (RFC 8288)."""

from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request, Response

from src.api.services.pagination import ResultPage

__all__ = ["LINKED", "MAX_LISTED", "ListLimit", "NextLink"]

T = TypeVar("T")

MAX_LISTED = 200
ListLimit = Annotated[int, Query(ge=1, le=MAX_LISTED)]

LINKED: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "headers": {
            "Link": {
                "description": 'The next page, if there is one: `<path?query>; rel="next"`',
                "schema": {"type": "string"},
            }
        }
    }
}


class NextPageLink:
    """Set the header for the next page of this request.

    The address is a path, because the host name that a client sent need not be the public one.
    """

    def __init__(self, request: Request, response: Response) -> None:
        self._request = request
        self._response = response

    def apply(self, page: ResultPage[T]) -> list[T]:
        """Set the header if more items follow, and return the items."""
        if page.next_cursor is not None:
            query = {**self._request.query_params, "cursor": page.next_cursor}
            self._response.headers["Link"] = f'<{self._request.url.path}?{urlencode(query)}>; rel="next"'
        return page.items


async def next_page_link(request: Request, response: Response) -> NextPageLink:
    return NextPageLink(request, response)


NextLink = Annotated[NextPageLink, Depends(next_page_link)]
