"""Fixtures for all tests."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy machine is no reason to fail
settings.load_profile("any machine")


@pytest.fixture
def unprivileged() -> Callable[[], AbstractContextManager[None]]:
    """For a ``with``: without root's right to ignore the mode of files."""
    return _unprivileged


@contextmanager
def _unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """A directory that everybody may search, as ``tmp_path`` is not; gone after the test."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        try:
            yield path
        finally:
            path.chmod(0o755)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what this machine has set from changing what the tests see."""
    for name in list(os.environ):
        if name.startswith("OS_") or name in {"STATE_DIRECTORY", "XDG_STATE_HOME"}:
            monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests that share one libvirtd in one process: some restart it."""
    for item in items:
        if item.get_closest_marker("libvirtd"):
            item.add_marker(pytest.mark.xdist_group("libvirtd"))
