"""Check repository rules that no linter covers. Each failure names the file and line."""

import ast
import re
import statistics
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.services import PROJECT

LIBRARY = ("common/src", "engine/src", "mcp/src", "sandbox/src")
TESTS = ("common/tests", "engine/tests", "mcp/tests", "sandbox/tests")
API = "engine/src/api"

# The only places that may catch every exception, because no caller could handle it: the renderer of HTTP errors, the
# worker's loop, and both sides of the boundary to a tool server.
BROAD_EXCEPTS = {
    f"{API}/middleware/problems.py": "an error nobody foresaw still gets an answer, without its text",
    f"{API}/services/runs/worker.py": "one run's failure must not end the loop that serves the others",
    f"{API}/services/runs/sweep.py": "one broken row must not end the sweep that recovers the others",
    f"{API}/adapters/tools/mcp.py": "whatever a client library raises, a sent change gets its recorded outcome",
    f"{API}/adapters/tools/session.py": "a session that broke in any way is opened anew",
    "mcp/src/skyflo_tools/dispatcher.py": "a tool's failure becomes an answer that names its effect",
}
TOOL_PORT = {"call", "preview", "settle", "evidence"}
# Published with a credential stealer inside, March 2026.
POISONED = {"1.82.7", "1.82.8"}


def python_files(*roots: str) -> list[str]:
    files = sorted(path for root in roots for path in (PROJECT / root).rglob("*.py"))
    return [path.relative_to(PROJECT).as_posix() for path in files]


@cache
def nodes(path: str) -> list[ast.AST]:
    """Return all nodes of a file, which is parsed once for all rules."""
    return list(ast.walk(ast.parse((PROJECT / path).read_text())))


def found(roots: tuple[str, ...], matches: Callable[[ast.AST], bool], allowed: Callable[[str], bool]) -> list[str]:
    places = ((path, node) for path in python_files(*roots) if not allowed(path) for node in nodes(path))
    return [f"{path}:{getattr(node, 'lineno', 0)}" for path, node in places if matches(node)]


def called(node: ast.AST) -> str:
    """Return `a.b.c` for the call `a.b.c(...)`, otherwise an empty string."""
    if not isinstance(node, ast.Call):
        return ""
    names: list[str] = []
    owner = node.func
    while isinstance(owner, ast.Attribute):
        names.append(owner.attr)
        owner = owner.value
    # Unparse only what is not a plain chain of names, because it is slow and a checkout has 40,000 calls.
    return ".".join([owner.id if isinstance(owner, ast.Name) else ast.unparse(owner), *reversed(names)])


def imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [name.name for name in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{name.name}" for name in node.names)]
    return []


def is_broad(node: ast.AST) -> bool:
    """Return whether this handler catches everything without raising it again."""
    if not isinstance(node, ast.ExceptHandler):
        return False
    types = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
    catches_all = any(each is None or ast.unparse(each) in {"Exception", "BaseException"} for each in types)
    return catches_all and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node))


def reaches_tools(node: ast.AST) -> bool:
    """Return whether the node calls a method of the tool port, or uses a name that only its callers need."""
    owner, _, method = called(node).rpartition(".")
    on_the_port = method in TOOL_PORT and re.search(r"tool|server", owner, re.IGNORECASE) is not None
    names = {node.id} if isinstance(node, ast.Name) else {node.attr} if isinstance(node, ast.Attribute) else set()
    names |= {name.rpartition(".")[2] for name in imported(node)}
    return on_the_port or not names.isdisjoint({"ToolRequest", "Grant"})


def sleeps(node: ast.AST) -> bool:
    """Return whether the node sleeps; `asyncio.sleep(0)` only yields to other tasks and is allowed."""
    if called(node) not in {"time.sleep", "asyncio.sleep", "anyio.sleep"}:
        return False
    return not (isinstance(node, ast.Call) and [ast.unparse(arg) for arg in node.args] == ["0"])


def functions(*roots: str) -> Iterator[tuple[str, int]]:
    for path in python_files(*roots):
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path}:{node.lineno} {node.name}", (node.end_lineno or node.lineno) - node.lineno + 1


def tracked() -> list[Path]:
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return [PROJECT / name for name in listed.stdout.split("\0") if name and (PROJECT / name).is_file()]


@pytest.mark.parametrize(
    ("rule", "caught", "let_through"),
    [
        (is_broad, "try: f()\nexcept Exception: log()", "try: f()\nexcept BaseException:\n undo()\n raise"),
        (is_broad, "try: f()\nexcept (OSError, Exception): pass", "try: f()\nexcept OSError: pass"),
        (reaches_tools, "await self._tools.call(request)", "await self._model.call(request)"),
        (reaches_tools, "await context.tool_server.settle(a, b)", "ledger.settle(a)"),
        (reaches_tools, "import src.api.ports as p\np.ToolRequest()", "from src.api.ports import ToolSpec"),
        (sleeps, "time.sleep(1)", "await asyncio.sleep(0)"),
    ],
)
def test_rules_detect_violations(rule: Callable[[ast.AST], bool], caught: str, let_through: str) -> None:
    assert any(rule(node) for node in ast.walk(ast.parse(caught)))
    assert not any(rule(node) for node in ast.walk(ast.parse(let_through)))


def test_broad_excepts_occur_only_in_listed_places() -> None:
    assert not found(LIBRARY, is_broad, lambda path: path in BROAD_EXCEPTS)


def test_no_code_uses_global() -> None:
    assert not found(LIBRARY + TESTS, lambda node: isinstance(node, ast.Global), lambda _: False)


def test_only_the_store_opens_transactions() -> None:
    assert not found(
        LIBRARY,
        lambda node: any(name.endswith("in_transaction") for name in imported(node))
        or "in_transaction" in called(node),
        lambda path: path.startswith(f"{API}/adapters/store/"),
    )


@pytest.mark.promise("no-approval-no-effect")
def test_only_the_ledger_calls_the_tool_port() -> None:
    """Search the folders that hold ports: only the ledger may name a request or call the tool port's methods."""
    rooms = tuple(f"{API}/{room}" for room in ("agent", "services", "endpoints", "middleware", "schemas", "utils"))

    assert not found(rooms, reaches_tools, lambda path: path == f"{API}/services/tools/ledger.py")


def test_only_its_adapter_imports_litellm() -> None:
    def imports_litellm(node: ast.AST) -> bool:
        return any(name.split(".")[0] == "litellm" for name in imported(node))

    places = {place.partition(":")[0] for place in found(LIBRARY, imports_litellm, lambda _: False)}
    assert all(place.startswith(f"{API}/adapters/model/") for place in places)
    assert len(places) <= 1


def test_lock_contains_no_compromised_release() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    locked = re.search(r"^litellm==(\S+)", lock, re.MULTILINE)
    assert locked
    assert locked.group(1) not in POISONED


def test_lock_has_hashes_and_no_registry_address() -> None:
    lock = (PROJECT / "requirements.lock").read_text()
    assert "://" not in lock
    build_entries = re.split(r"^(?=[a-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert [entry.split()[0] for entry in build_entries if "--hash=sha256:" not in entry] == []


def test_tests_do_not_sleep() -> None:
    """Only scripted servers and `support/waiting.py` may sleep; tests never do."""
    assert not found(TESTS, sleeps, lambda path: "/support/" in path)


def test_functions_stay_below_the_line_limit() -> None:
    lengths = dict(functions(*LIBRARY))
    assert {where: lines for where, lines in lengths.items() if lines > 80} == {}
    assert statistics.median(lengths.values()) <= 10
    assert sorted(lengths.values())[int(len(lengths) * 0.95)] <= 45


def test_test_functions_stay_below_the_line_limit() -> None:
    assert {where: lines for where, lines in functions(*TESTS) if lines > 80} == {}


def test_files_stay_below_the_line_limit() -> None:
    sizes = {path: len((PROJECT / path).read_text().splitlines()) for path in python_files(*LIBRARY, *TESTS)}
    assert {path: lines for path, lines in sizes.items() if lines > 400} == {}


def test_no_file_names_a_machine_or_a_registry() -> None:
    hosts = ["py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js.org"]
    folders = ["/wo" + "rk/", "/ro" + "ot/", "/fa" + "rm/", "/ho" + "me/[a-z]", "/tmp/ba" + "sh_jobs"]
    forbidden = re.compile("|".join([*map(re.escape, hosts), *(r"(?<![\w.}])" + folder for folder in folders)]))
    named = []
    for path in tracked():
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            if forbidden.search(line):
                named.append(f"{path.relative_to(PROJECT)}:{number}: {line.strip()[:100]}")
    assert named == []
