"""``kill -9`` at any moment: the next process goes on, and nothing is lost."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from tests.faults import killed
from tests.faults.door import Door
from tests.faults.remembered import Remembered
from tests.faults.scenarios import SCENARIOS
from tests.faults.stage import Stage

_PROJECT = Path(__file__).parents[2]
Die = Callable[..., str]


@pytest.fixture(scope="module")
def die() -> Iterator[Die]:
    """Has a process live through a cycle until its death; how it ended."""
    with subprocess.Popen(
        [sys.executable, "-m", killed.__name__],
        cwd=_PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stdout
        stdin, stdout = process.stdin, process.stdout

        def ask(**death: Any) -> str:
            stdin.write(json.dumps(death) + "\n")
            stdin.flush()
            return stdout.readline().strip()

        yield ask
        stdin.close()


@pytest.mark.parametrize(("name", "atomic"), [*((name, "auto") for name in SCENARIOS), ("change", "off")])
def test_killed_at_any_moment(placement: Any, states: Path, die: Die, name: str, atomic: str) -> None:
    with Door(Remembered(placement)) as door:
        stage = Stage(placement, door, states, SCENARIOS[name], atomic)
        for number in count():
            state = stage.set_up()
            ended = die(scenario=name, atomic=atomic, url=door.url, state=str(state), number=number)
            try:
                stage.check_new_process_goes_on(state)
                assert not list(state.glob("**/.*")), "files that nobody will ever look at again"
            except Exception as error:
                error.add_note(f"killed before deed {number}, after {len(door.requests)} requests")
                raise
            if ended != "killed":
                break
    assert ended == "done"
    assert number > 15
