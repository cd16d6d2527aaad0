"""A build hook of Hatch for the packages of this repository."""

import ast
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_MODULE = r"(?:\.[A-Za-z_]\w*)+(?::\w+)?"


class WheelHook(BuildHookInterface[Any]):
    """Build what a wheel needs and an editable install takes from the checkout.

    - A wheel depends on the skyflo-common of its own version. `[project] dependencies` can't name it: it is on no
      package index, so `uv pip install -e .` would not find it.
    - The table `renamed` names folders whose packages have another name in the wheel. Any project that is laid out this
      way has a top-level package `src`; in the wheel it is part of `skyflo_engine` (docs/adr/0040).
    - The engine's wheel holds the built Command Center.
    """

    _built: Path | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        build_data["dependencies"].append(f"skyflo-common=={self.metadata.version}")
        renamed: Mapping[str, str] = self.config.get("renamed", {})
        if renamed:
            self._built = Path(tempfile.mkdtemp(prefix="skyflo-wheel-"))
            modules = {folder: to.replace("/", ".") for folder, to in renamed.items() if folder != to}
            for folder, target in renamed.items():
                joins = folder != target and (Path(self.root) / target / "__init__.py").is_file()
                _copy_renamed(Path(self.root) / folder, self._built / folder, modules, with_init=not joins)
                build_data["force_include"][str(self._built / folder)] = target
        self._include_page(build_data)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:  # noqa: ARG002
        if self._built is not None:
            shutil.rmtree(self._built)

    def _include_page(self, build_data: dict[str, Any]) -> None:
        """Put the built Command Center into the engine's wheel, if it was built (`make ui`)."""
        page = Path(self.root).parent / "ui" / "dist"
        if self.metadata.name == "skyflo-engine" and (page / "index.html").is_file():
            build_data["force_include"][str(page)] = "skyflo_engine/api/page"


def _copy_renamed(source: Path, target: Path, modules: Mapping[str, str], *, with_init: bool) -> None:
    """Copy a package's files with the modules renamed. `with_init` says whether to copy its own `__init__.py`."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        left_out = not with_init and path == source / "__init__.py"
        if path.is_dir() or "__pycache__" in path.parts or left_out:
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".py":
            place.write_bytes(rename_modules(path.read_bytes(), modules, str(path)))
        else:
            shutil.copyfile(path, place)


def rename_modules(code: bytes, modules: Mapping[str, str], where: str = "<code>") -> bytes:
    """Rename top-level modules in import statements, and in strings that are a module's name and nothing else.

    Raises ValueError for a use that can't be renamed safely: `import src.x` binds the name `src`.
    """
    lines = code.splitlines(keepends=True)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and _names_module(node, modules):
            _rename_at(lines, node.lineno, node.col_offset, rb"(from\s+){}(?=[.\s])", modules)
        elif isinstance(node, ast.Constant) and _names_module(node, modules):
            _rename_at(lines, node.lineno, node.col_offset, rb"""(["']){}(?=\.)""", modules)
    renamed = b"".join(lines)
    for node in ast.walk(ast.parse(renamed)):
        if _names_module(node, modules):
            raise ValueError(f"{where}: a module's name can't be renamed: {ast.unparse(node)}")
    return renamed


def _names_module(node: ast.AST, modules: Mapping[str, str]) -> bool:
    """Whether this import, or this string, names one of the modules."""
    if isinstance(node, ast.Import):
        return any(alias.name.partition(".")[0] in modules for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return (node.module or "").partition(".")[0] in modules
    return isinstance(node, ast.Constant) and _is_module(node.value, modules)


def _is_module(value: object, modules: Mapping[str, str]) -> bool:
    return isinstance(value, str) and any(re.fullmatch(re.escape(name) + _MODULE, value) for name in modules)


def _rename_at(lines: list[bytes], number: int, column: int, pattern: bytes, modules: Mapping[str, str]) -> None:
    """Rename the first module that the pattern finds in a line from the column on. Columns count the original bytes.

    A line is changed from one place only, unless a statement is repeated in it, so columns to the left stay right.
    """
    line = lines[number - 1]
    for name, target in modules.items():
        named = re.compile(pattern.replace(b"{}", re.escape(name).encode()))
        found = named.search(line, min(column, len(line)))
        if found is not None:
            start, end = found.end(1), found.end()
            lines[number - 1] = line[:start] + target.encode() + line[end:]
            return
