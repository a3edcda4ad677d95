from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers import BUILTIN, installed_drivers, load_driver, load_driver_class, missing_module
from drivers.base import ComputeDriver
from drivers.errors import DriverNotLoadable, UnknownDriver
from tests.drivers.configured import make_conf

ENTRY_POINTS = """\
[placement_reporter.drivers]
rack = rack_driver:RackDriver
broken = rack_driver:Broken
nothing = rack_driver:Nothing
lonely = rack_lonely:Driver
failing = rack_failing:Driver
host = rack_driver:RackDriver
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package beside ours that brings drivers."""
    metadata = tmp_path / "rack_driver-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: rack-driver\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (tmp_path / "rack_driver.py").write_text(
        "from drivers.base import ComputeDriver\nclass RackDriver(ComputeDriver): pass\nBroken = dict\n"
    )
    (tmp_path / "rack_lonely.py").write_text("import a_module_that_nobody_has\n")
    (tmp_path / "rack_failing.py").write_text("raise RuntimeError('out of order')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("rack_driver", "rack_lonely", "rack_failing"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["host", "static"])
def test_built_in_drivers_load(tmp_path: Path, name: str) -> None:
    driver = load_driver(name, make_conf(tmp_path), virtapi="nova's")
    assert isinstance(driver, ComputeDriver)
    assert driver.virtapi == "nova's"
    assert driver.options.keys() <= {group for group, _ in driver.conf.items()} | driver.options.keys()


def test_an_installed_driver_loads(installed: Path) -> None:
    assert "rack" in installed_drivers()
    assert load_driver_class("rack").__name__ == "RackDriver"


def test_a_built_in_driver_is_not_replaced_by_an_installed_one(installed: Path) -> None:
    assert load_driver_class("host").__name__ == "HostDriver"


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("hots", "host"), ("libvirt.LibvirtDriver", "libvirt"), ("Static", "static"), ("rac", "rack")],
)
def test_an_unknown_driver_is_told_the_nearest_and_all(installed: Path, name: str, nearest: str) -> None:
    with pytest.raises(UnknownDriver, match=f"there is no driver '{name}'") as caught:
        load_driver_class(name)
    assert caught.value.advice.startswith(f"did you mean '{nearest}'?")
    assert all(each in caught.value.advice for each in (*BUILTIN, "rack"))


def test_a_name_like_no_other_is_told_all() -> None:
    with pytest.raises(UnknownDriver) as caught:
        load_driver_class("xyzzy")
    assert caught.value.advice.startswith("drivers: host, libvirt, static")


@pytest.mark.parametrize(
    ("name", "what", "advice"),
    [
        ("broken", "is not a class derived from drivers.base.ComputeDriver", "entry point"),
        ("nothing", "AttributeError", "maintains"),
        ("lonely", "a_module_that_nobody_has", "install the package that has a_module_that_nobody_has"),
        ("failing", "RuntimeError: out of order", "maintains"),
    ],
)
def test_a_driver_that_cannot_be_loaded_says_why(installed: Path, name: str, what: str, advice: str) -> None:
    with pytest.raises(DriverNotLoadable, match=what) as caught:
        load_driver_class(name)
    assert advice in caught.value.advice


def test_a_missing_extra_is_named() -> None:
    error = missing_module("libvirt", ModuleNotFoundError("No module named 'libvirt'", name="libvirt"))
    assert str(error) == "driver 'libvirt' needs the Python module libvirt"
    assert error.advice == "pip install 'placement-reporter[libvirt]'"


def test_looking_at_the_registry_imports_no_driver_and_no_oslo_config() -> None:
    """`--help` must not wait for them."""
    slow = ("drivers.", "oslo", "yaml", "psutil")
    code = f"import drivers, sys; print([name for name in sys.modules if name.startswith({slow})])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "['drivers.errors']"
