"""Fixtures of the libvirt driver's tests."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.drivers.libvirt.daemon import OwnLibvirtd, why_no_libvirtd, why_no_system_libvirtd

# The driver cannot even be imported without libvirt's bindings.
MISSING = [name for name in ("libvirt", "defusedxml") if importlib.util.find_spec(name) is None]
collect_ignore_glob = ["test_*.py"] if MISSING else []


def pytest_report_header() -> list[str]:
    """Say that these tests are left out, where they are."""
    return [f"tests/drivers/libvirt: left out, needs {', '.join(MISSING)}"] if MISSING else []


@pytest.fixture(scope="session")
def libvirtd_cache() -> Iterator[Path]:
    """A directory for what libvirtd finds out about QEMU."""
    with tempfile.TemporaryDirectory(prefix="lvcache") as directory:
        yield Path(directory)


@pytest.fixture
def own_libvirtd(libvirtd_cache: Path) -> Iterator[OwnLibvirtd]:
    """A running libvirtd that belongs to the test."""
    if reason := why_no_libvirtd():
        pytest.skip(reason)
    # Not tmp_path: nobody must get there, and a socket's path may have 107 characters.
    with tempfile.TemporaryDirectory(prefix="lv") as directory:
        daemon = OwnLibvirtd(Path(directory), libvirtd_cache)
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.stop()


@pytest.fixture(scope="session")
def system_uri() -> str:
    """The URI of the system's libvirtd; skips where there is none."""
    if reason := why_no_system_libvirtd():
        pytest.skip(reason)
    return "qemu:///system"
