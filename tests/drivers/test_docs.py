"""The documentation's driver is a driver."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import load_driver
from drivers.errors import DriverOptionError, HostReadError
from provider_tree import ProviderTree
from tests.drivers.configured import make_conf

DOCS = Path(__file__).resolve().parents[2] / "docs"
(EXAMPLE,) = re.findall(r"```python\n(.*?)```", (DOCS / "drivers.md").read_text(), re.DOTALL)
(ENTRY_POINT,) = re.findall(
    r'^    licences = "our_package:(\w+)"$', (DOCS / "drivers.md").read_text(), re.MULTILINE
)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "our_package.py").write_text(EXAMPLE)
    metadata = tmp_path / "our_package-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: our-package\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        f"[placement_reporter.drivers]\nlicences = our_package:{ENTRY_POINT}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("our_package", None)


def test_it_takes_some_forty_lines() -> None:
    assert len([line for line in EXAMPLE.splitlines() if line.strip()]) <= 40


def test_it_reports(installed: Path) -> None:
    (installed / "list").write_text("cad 25\n\nfem-solver 4\nold 0\n")
    conf = make_conf(installed, f"host = server1\n[licences]\nfile = {installed}/list\n")
    driver = load_driver("licences", conf)
    driver.init_host("server1")
    (node,) = driver.get_available_nodes()
    tree = ProviderTree()
    tree.new_root(node, "8a0f3f6e-2a5e-4d5c-9a7f-0c5a1b1c2d3e")
    driver.update_provider_tree(tree, node)
    provider = tree.provider("server1-licences")
    assert provider.inventory == {
        "CUSTOM_LICENCE_CAD": {"total": 25},
        "CUSTOM_LICENCE_FEM_SOLVER": {"total": 4},
    }
    assert all(driver.vocabulary.has_class(name) for name in provider.inventory)
    assert provider.notes["CUSTOM_LICENCE_CAD"].detail == f"a line of {installed}/list"


def test_what_it_cannot_read_is_an_error(installed: Path) -> None:
    conf = make_conf(installed, f"[licences]\nfile = {installed}/list\n")
    driver = load_driver("licences", conf)
    with pytest.raises(DriverOptionError, match=r"\[licences\] file"):
        driver.init_host("server1")
    (installed / "list").write_text("cad many\n")
    with pytest.raises(HostReadError, match="lines of NAME COUNT"):
        driver.init_host("server1")


def test_the_static_document_of_the_documentation_is_one(tmp_path: Path) -> None:
    text = (DOCS / "static-driver.md").read_text()
    blocks = re.findall(r"(?:^    .*\n|^\n)+", text, re.MULTILINE)
    (document,) = [
        re.sub("^    ", "", block, flags=re.MULTILINE) for block in blocks if "format_version" in block
    ]
    (tmp_path / "a.yaml").write_text(document)
    driver = load_driver("static", make_conf(tmp_path, f"[static]\npath = {tmp_path}/a.yaml\n", "static"))
    assert driver.get_available_nodes() == ["node1"]
