"""Progress on stderr, on a terminal, of what takes longer than a second."""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE = 1.0  # seconds


class ProgressDisplay:
    """Hand the object itself to ``Reporter.sync_once`` as ``progress``.

    Nothing is shown, and nothing imported for it, before a second has passed or where stderr is no terminal.

    :param what: what is going on until something more is told
    """

    def __init__(self, what: str, patience: float = _PATIENCE) -> None:
        self._state: tuple[str, int, int] = (what, 0, 0)
        self._patience = patience
        self._lock = threading.Lock()
        self._shown = ExitStack()
        self._bar: tuple[Progress, TaskID] | None = None
        self._timer: threading.Timer | None = None
        self._over = False

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._timer = threading.Timer(self._patience, self._show)
            self._timer.daemon = True
            self._timer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            self._over = True
            self._shown.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell what is going on, how much of it is done, and how much there is (0: nobody knows)."""
        self._state = (what, done, total)
        if self._bar is not None:
            with self._lock:
                self._update()

    def _show(self) -> None:
        from rich.console import Console  # noqa: PLC0415 - 0.1 s that quick commands save
        from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn  # noqa: PLC0415 - the same

        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.fields[count]}"),
        )
        progress = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False)
        if progress.console.is_dumb_terminal:
            return  # it would see an empty line at most
        with self._lock:
            if not self._over:
                self._bar = (self._shown.enter_context(progress), progress.add_task("", total=None, count=""))
                self._update()

    def _update(self) -> None:
        assert self._bar is not None
        progress, task = self._bar
        what, done, total = self._state
        count = f"{done}/{total}" if total else ""
        progress.update(task, description=what, completed=done, total=total or None, count=count)
