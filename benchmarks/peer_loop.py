"""The inside of a client's process: commands as JSON lines on stdin, answers with their costs on stdout."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Protocol

from benchmarks.meter import RequestCount, measure
from benchmarks.work import Work


class Peer(Protocol):
    """A client that reports one host."""

    def begin(self, work: Work) -> None:
        """Take over a host that Placement does not know yet."""

    def wish(self, work: Work) -> None:
        """From now on the host has this."""

    def restart(self) -> None:
        """Forget what a process forgets when it ends."""

    def expire(self) -> None:
        """As if all of the client's own time limits had passed."""

    def cycle(self, as_every_minute: bool) -> None:
        """Make Placement what it should be.

        :param as_every_minute: with all that the service does besides in its periodic task
        """

    def traits_seen(self, uuid: str) -> list[str]:
        """The traits of a provider as the last cycle saw them in Placement."""


def serve(peer: Peer) -> None:
    """Carry out commands until stdin ends."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not get between the answers
    count = RequestCount()
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if name in ("begin", "wish"):
            arguments = [Work.from_json(arguments[0])]
        method = getattr(peer, name)
        result, cost = measure(lambda: method(*arguments), count)  # noqa: B023 - called at once
        print(json.dumps({"result": result, "cost": asdict(cost)}), file=channel, flush=True)
