"""A process that kills itself before the n-th thing that it does to the world outside.

Started once, it forks a child for each death, since starting Python and importing takes longer than a cycle.
A line of its input says which death, a line of its output how the child ended: killed, done or failed.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import requests

from reporter import sync
from tests.faults.scenarios import NODE, SCENARIOS
from tests.faults.stage import OneNode
from tests.functional.reporting import reporter_for

#: Requests, and all that changes a file for good: to die after one of them is to die before the next.
_DEEDS = (
    (requests.Session, "send"),
    *((os, name) for name in ("fsync", "mkdir", "pwrite", "replace", "unlink")),
)


def kill_before(number: int) -> None:
    """Die before the deed with that number."""
    done = [0]

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if done[0] == number:
                os.kill(os.getpid(), signal.SIGKILL)
            done[0] += 1
            return real(*args, **named)

        return call

    for owner, name in _DEEDS:
        setattr(owner, name, counted(getattr(owner, name)))


def live(death: dict[str, Any]) -> None:
    """Run one cycle of a scenario, as far as it comes."""
    scenario = SCENARIOS[death["scenario"]]
    kill_before(death["number"])
    driver = OneNode(scenario.after)
    with reporter_for(driver, death["url"], Path(death["state"]), atomic=death["atomic"]) as reporter:
        reporter.sync(NODE, adopt=scenario.adopt)


def main() -> None:
    sync._PAUSE = 0.0
    for line in sys.stdin:
        child = os.fork()
        if not child:
            try:
                live(json.loads(line))
            except BaseException:  # noqa: BLE001 - a child must never come back to the loop of its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        ended = "killed" if os.WIFSIGNALED(status) else "failed" if status else "done"
        sys.stdout.write(f"{ended}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
