"""Imports point one way: reporter → drivers → provider_tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# What reads or writes, tells the time or logs.
IMPURE = {"asyncio", "datetime", "io", "logging", "os", "pathlib", "requests", "socket", "subprocess", "time"}


def modules(package: str) -> Iterator[tuple[str, set[str]]]:
    """(Dotted name, dotted names of what it imports anywhere) of each module of a package."""
    for path in sorted((ROOT / package).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found.update(each.name for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                base = ".".join([*parts[: -node.level], *filter(None, [node.module])])
                base = base if node.level else node.module or ""
                found.update({base, *(f"{base}.{each.name}" for each in node.names)})
        yield ".".join(parts), found


def packages(imported: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in imported}


@pytest.mark.parametrize(
    ("package", "above"), [("provider_tree", {"drivers", "reporter"}), ("drivers", {"reporter"})]
)
def test_nothing_imports_what_is_above_it(package: str, above: set[str]) -> None:
    assert [name for name, imported in modules(package) if packages(imported) & above] == []


def test_drivers_do_not_import_each_other() -> None:
    drivers = {path.parent.name for path in (ROOT / "drivers").glob("*/__init__.py")}
    assert drivers >= {"host", "libvirt", "static"}
    for name, imported in modules("drivers"):
        own = name.split(".")[1]
        of_drivers = {each.split(".")[1] for each in imported if each.startswith("drivers.")} & drivers
        assert of_drivers <= {own}, name


def test_provider_tree_does_nothing_but_compute() -> None:
    assert [name for name, imported in modules("provider_tree") if packages(imported) & IMPURE] == []
