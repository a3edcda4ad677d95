"""docs/architecture.md names every file that there is, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
_ROW = re.compile(r"^\|(.*?)\|(.*)\|$", re.MULTILINE)


def named() -> dict[str, set[str]]:
    """Package → the files and folders that its rows name, wherever in the row."""
    found: dict[str, set[str]] = {}
    package = ""
    for first, cells in _ROW.findall((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")):
        package = first.strip("` ") or package
        names = re.findall(r"`([a-z_]+(?:\.py|/))`", cells)
        found.setdefault(package, set()).update(names)
    return found


@pytest.mark.parametrize("package", ["provider_tree", "drivers", "reporter"])
def test_every_module_stands_in_the_table(package: str) -> None:
    top = ROOT / package
    files = {path.name for path in top.glob("*.py")} - {"__init__.py", "__main__.py"}
    folders = {f"{path.parent.name}/" for path in top.glob("*/__init__.py")}
    below = {path.name for path in top.glob("*/*.py")}
    names = named()[package]
    assert files | folders <= names
    assert names <= files | folders | below
