"""What something costs a client: requests, CPU of the process, wall time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests


@dataclass(frozen=True, slots=True)
class Cost:
    """``cpu`` (all threads) and ``wall`` in seconds."""

    requests: int
    cpu: float
    wall: float


class RequestCount:
    """Counts what leaves this process through requests, which both clients are built on."""

    def __init__(self) -> None:
        self.value = 0
        lock = threading.Lock()
        send = requests.Session.send

        def counted(*arguments: Any, **options: Any) -> requests.Response:
            with lock:
                self.value += 1
            return send(*arguments, **options)

        requests.Session.send = counted  # type: ignore[method-assign]  # nothing else sees both clients


def measure(action: Callable[[], Any], count: RequestCount) -> tuple[Any, Cost]:
    """What ``action`` returns, and what it cost."""
    sent, cpu, wall = count.value, time.process_time(), time.perf_counter()
    result = action()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return result, Cost(count.value - sent, cpu, wall)
