"""Serve the built Command Center next to the API.

The files are read once, at the start: a request can reach nothing but them. Compressed siblings (`.br`, `.gz`) were
written by the build.
"""

import mimetypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["CommandCenter", "find_page_files"]

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_ENCODINGS: Final = (("br", ".br"), ("gzip", ".gz"))
_HASHED_FOLDER: Final = "/assets/"
_INDEX: Final = "/index.html"
_MAX_FILE_BYTES: Final = 8_388_608
_PAGE_PATH: Final = re.compile(rb"/(?:[A-Za-z0-9_~-]+/?)*")
"""Paths of the page's own routes, as sent. Anything escaped, doubled or with a dot is none of them."""

_NOTHING_HERE: Final = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    "<title>Nothing here - Skyflo</title><h1>Nothing here</h1>"
    '<p>This address leads to no page. <a href="/">Open Skyflo</a>'
)
"""For a person who follows a broken link. It does not repeat the address."""

_MEDIA_TYPES: Final = {".js": "text/javascript", ".woff2": "font/woff2"}


def find_page_files(configured: Path | None, checkout: Path | None) -> Path | None:
    """Return the folder of the built page: the configured one, the checkout's, or the installed package's."""
    installed = Path(__file__).resolve().parents[1] / "page"
    built = [checkout / "ui" / "dist"] if checkout else []
    candidates = [configured] if configured else [*built, installed]
    return next((folder for folder in candidates if (folder / "index.html").is_file()), None)


@dataclass(frozen=True, slots=True)
class _PageFile:
    media_type: str
    body: bytes
    compressed: dict[str, bytes] = field(default_factory=dict)


class CommandCenter:
    """Answer requests that match no route: with a file of the page, or with `index.html` for a browser.

    A browser that asks for an address that no page has, such as one with a broken escape, gets a page that says so.
    Everything below the API's prefix, every other client and every method but GET and HEAD go to `fallback`.
    """

    def __init__(self, folder: Path, api: str, fallback: ASGIApp) -> None:
        self._files = _read_files(folder)
        self._api = api
        self._fallback = fallback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(scope) if scope["type"] == "http" else None
        await (answer or self._fallback)(scope, receive, send)

    def _answer(self, scope: Scope) -> Response | None:
        path, request = scope["path"], Headers(scope=scope)
        if scope["method"] not in {"GET", "HEAD"} or path == self._api or path.startswith((f"{self._api}/", "/api/")):
            return None
        if path in self._files:
            return self._respond(path, request)
        is_browser = "text/html" in request.get("accept", "")
        sent = (scope.get("raw_path") or path.encode()).partition(b"?")[0]
        if _PAGE_PATH.fullmatch(sent) and not path.startswith(_HASHED_FOLDER):
            return self._respond(_INDEX, request) if is_browser or path == "/" else None
        return _nothing_here() if is_browser else None

    def _respond(self, name: str, request: Headers) -> Response:
        file = self._files[name]
        headers = {
            "content-security-policy": CONTENT_SECURITY_POLICY,
            "cache-control": "public, max-age=31536000, immutable" if name.startswith(_HASHED_FOLDER) else "no-cache",
            "vary": "Accept-Encoding",
        }
        accepted = _accepted_encodings(request.get("accept-encoding", ""))
        for encoding, body in file.compressed.items():
            if encoding in accepted:
                return Response(body, media_type=file.media_type, headers={**headers, "content-encoding": encoding})
        return Response(file.body, media_type=file.media_type, headers=headers)


def _nothing_here() -> Response:
    headers = {"content-security-policy": "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"}
    return Response(_NOTHING_HERE, 404, media_type="text/html", headers={**headers, "cache-control": "no-store"})


def _read_files(folder: Path) -> dict[str, _PageFile]:
    """Read the files below the folder. A link that leads out of it is left out."""
    root = folder.resolve()
    suffixes = tuple(suffix for _, suffix in _ENCODINGS)
    return {
        f"/{path.relative_to(folder).as_posix()}": _read_file(path, root)
        for path in sorted(folder.rglob("*"))
        if _is_inside(path, root) and path.suffix not in suffixes and not path.name.startswith(".")
        if not path.relative_to(folder).parts[0].startswith(".")
        if path.stat().st_size <= _MAX_FILE_BYTES
    }


def _is_inside(path: Path, root: Path) -> bool:
    """Say whether a file that `rglob` found is inside. It enters no linked folder, so only the file can be a link."""
    return path.is_file() and (not path.is_symlink() or path.resolve().is_relative_to(root))


def _read_file(path: Path, root: Path) -> _PageFile:
    siblings = {encoding: path.with_name(path.name + suffix) for encoding, suffix in _ENCODINGS}
    media_type = _MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    compressed = {encoding: sibling.read_bytes() for encoding, sibling in siblings.items() if _is_inside(sibling, root)}
    return _PageFile(media_type, path.read_bytes(), compressed)


def _accepted_encodings(header: str) -> set[str]:
    """Return the encodings that `Accept-Encoding` allows by name; one with `q=0` is refused."""
    accepted = set()
    for part in header.lower().split(","):
        name, _, weight = part.partition(";")
        if weight.replace(" ", "") not in {"q=0", "q=0.0", "q=0.00", "q=0.000"}:
            accepted.add(name.strip())
    return accepted
