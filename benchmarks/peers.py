"""The outside of a client's process: starts it, and gives it commands."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.meter import Cost
from benchmarks.work import Work

ROOT = Path(__file__).resolve().parent.parent


class PeerProcess:
    """A client in a process of its own, with the commands of ``peer_loop.Peer``; a context manager.

    :param name: what tables call it
    """

    def __init__(self, name: str, module: str, *arguments: str) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.terminate()  # it may be in the middle of a long cycle
        self._process.communicate(timeout=60)

    def begin(self, work: Work) -> None:
        self._call("begin", asdict(work))

    def wish(self, work: Work) -> None:
        self._call("wish", asdict(work))

    def restart(self) -> None:
        self._call("restart")

    def expire(self) -> None:
        self._call("expire")

    def cycle(self, *, as_every_minute: bool = False) -> Cost:
        return self._call("cycle", as_every_minute)[1]

    def traits_seen(self, uuid: str) -> list[str]:
        return list(self._call("traits_seen", uuid)[0])

    def _call(self, *command: Any) -> tuple[Any, Cost]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended during {command[0]}; what it said stands above")
        answer = json.loads(line)
        return answer["result"], Cost(**answer["cost"])
