"""The state directory's file system is full, or read-only: it is said, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from reporter.errors import StateError
from tests.faults.door import Act, Door
from tests.faults.remembered import Answer, Remembered
from tests.faults.scenarios import NODE, SCENARIOS
from tests.faults.stage import Stage

_PAGE = 4096
_PAGES = 2000
#: what becomes ours must stand in the ledger before
BRING_SOMETHING = ("first sync", "adoption", "change", "reshape")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Where a small file system is mounted."""
    path = tmp_path / "disk"
    path.mkdir()
    options = f"size={_PAGES * _PAGE},mode=755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
    if os.geteuid() or subprocess.run(mount, check=False).returncode:
        pytest.skip("may not mount a file system")
    try:
        yield path
    finally:
        subprocess.run(["umount", path], check=True)


def fill(disk: Path) -> None:
    """Have no page left for others, in a file ``full``."""
    with (disk / "full").open("wb", buffering=0) as stream, suppress(OSError):
        while stream.write(bytes(100 * _PAGE)):
            pass
    assert not os.statvfs(disk).f_bavail


def remount(disk: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", disk], check=True)


def assert_is_said(error: StateError, reason: str, state: Path) -> None:
    assert reason in error.what
    assert str(state) in error.what
    assert error.advice


@pytest.mark.parametrize("name", SCENARIOS)
def test_disk_that_is_full_from_any_request_on(placement: Any, disk: Path, name: str) -> None:
    errors = 0

    def fills_disk(act: Act) -> Answer:
        fill(disk)
        return act()

    with Door(Remembered(placement)) as door:
        stage = Stage(placement, door, disk, SCENARIOS[name], "auto")
        for number in count():
            state = stage.set_up()
            with stage.reporter(state, stage.scenario.after) as reporter:
                door.fail_at(number, fills_disk)
                try:
                    stage.sync(reporter)
                except StateError as error:
                    errors += 1
                    assert_is_said(error, "No space left on device", state)
                    if errors == 1 and name in BRING_SOMETHING:
                        assert door.placement.state.world == stage.before, "it could not be remembered"
                if not door.failed:
                    break
                (disk / "full").unlink()
                stage.check_new_process_goes_on(stage.copy(state))
                stage.settle(reporter)
                assert door.placement.state.world == stage.after
    assert errors


@pytest.mark.parametrize("name", ["first sync", "change", "reshape"])
def test_read_only_disk(placement: Any, disk: Path, name: str) -> None:
    with Door(Remembered(placement)) as door:
        stage = Stage(placement, door, disk, SCENARIOS[name], "auto")
        state = stage.set_up()
        with stage.reporter(state, stage.scenario.after) as reporter:
            remount(disk, "ro")
            for sync in (reporter.sync, reporter.sync_once):  # the other one has long had the lock
                with pytest.raises(StateError) as error:
                    sync(NODE)
                assert_is_said(error.value, "Read-only file system", state)
            assert reporter.diff(NODE).changes, "looking writes nothing"
            assert door.placement.state.world == stage.before
            remount(disk, "rw")
            stage.check_new_process_goes_on(stage.copy(state))
            stage.settle(reporter)
            assert door.placement.state.world == stage.after
