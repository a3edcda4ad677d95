from __future__ import annotations

import logging
import os
import socket
import sys
from pathlib import Path

import pytest

from reporter.service.systemd import JournalFormatter, notify, stderr_is_journal


def test_the_service_manager_hears_what_it_is_told(tmp_path: Path) -> None:
    address = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address)
        notify("READY=1", {"NOTIFY_SOCKET": address})
        manager.settimeout(5)
        assert manager.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nobody/listens/here", "relative"])
def test_nobody_listening_is_no_error(address: str) -> None:
    notify("READY=1", {"NOTIFY_SOCKET": address})
    notify("READY=1", {})


def test_lines_carry_the_priority_that_the_journal_is_to_give_them() -> None:
    formatter = JournalFormatter("%(message)s")

    def formatted(level: int) -> str:
        return formatter.format(logging.LogRecord("x", level, "", 0, "one\ntwo", (), None))

    assert formatted(logging.ERROR) == "<3>one\n<3>two"
    assert formatted(logging.WARNING).startswith("<4>")
    assert formatted(logging.INFO).startswith("<6>")
    assert formatted(logging.DEBUG).startswith("<7>")


def test_the_journal_is_recognised_by_what_stderr_is(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(os.dup(2), "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        monkeypatch.setattr(sys, "stderr", stream)
        status = os.fstat(stream.fileno())
        assert stderr_is_journal({"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        assert not stderr_is_journal({"JOURNAL_STREAM": "1:2"})
        assert not stderr_is_journal({})
