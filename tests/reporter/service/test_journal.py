from __future__ import annotations

import logging

import pytest

from provider_tree import Change, Changes, ProviderTree
from provider_tree.change import Action, Kind
from reporter.errors import ReporterError
from reporter.plan import Plan
from reporter.policy import Held
from reporter.report import Report
from reporter.service.journal import Journal

CHANGE = Change(Kind.TRAITS, Action.UPDATE, "node", "u", ["CUSTOM_A"], ["CUSTOM_B"], reason="because")


@pytest.fixture(autouse=True)
def _heard(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "reporter.service")


def report(*changes: Change, held: tuple[Held, ...] = (), notices: tuple[str, ...] = ()) -> Report:
    tree = ProviderTree()
    return Report("node", "u", tree, tree, tree, Changes(changes), Plan(), held, notices, applied=True)


def test_a_cycle_that_changed_something_is_a_line(caplog: pytest.LogCaptureFixture) -> None:
    Journal("node").done(report(CHANGE), 0.5, 0)
    assert caplog.messages == ["node: 1 updated: 1 change, 0 requests, 0.50 s"]


def test_an_idle_cycle_is_none(caplog: pytest.LogCaptureFixture) -> None:
    Journal("node").done(report(), 0.5, 0)
    assert caplog.messages == []


def test_a_failure_is_told_ever_more_rarely(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal("node")
    for failures in range(1, 40):
        journal.failed(ReporterError("it is down", "start it"), failures, 60)
    told = [message.split("attempt ")[1].split()[0] for message in caplog.messages]
    assert told == ["1", "2", "4", "8", "16", "32"]
    assert caplog.messages[0] == "node: it is down; start it (attempt 1 failed; the next in 60 s)"


def test_a_pause_that_an_event_may_end_is_told_as_such(caplog: pytest.LogCaptureFixture) -> None:
    Journal("node").failed(ReporterError("it is down"), 1, 60, firm=False)
    assert caplog.messages == ["node: it is down (attempt 1 failed; the next in 60 s at the latest)"]


def test_another_failure_is_told_at_once(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal("node")
    for failures, what in enumerate(["a", "a", "a", "b", "b", "a"], start=1):
        journal.failed(ReporterError(what), failures, 1)
    assert [message[6] for message in caplog.messages] == ["a", "a", "b", "a"]


def test_the_end_of_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal("node")
    journal.failed(ReporterError("it is down"), 1, 1)
    journal.done(report(), 0.1, failures=1)
    journal.done(report(), 0.1, failures=0)
    assert caplog.messages[1:] == ["node: works again after 1 failed attempt"]
    journal.failed(ReporterError("it is down"), 1, 1)
    assert len(caplog.messages) == 3, "a new outage is news"


def test_what_is_held_and_warned_of_is_told_when_it_changes(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal("node")
    held = (Held(CHANGE, "in use"),)
    for _ in range(3):
        journal.done(report(held=held, notices=("a device is odd",)), 0.1, 0)
    assert len(caplog.messages) == 2
    assert caplog.messages[0].startswith("node: held back: node: ")
    journal.done(report(), 0.1, 0)
    journal.done(report(held=held), 0.1, 0)
    assert len(caplog.messages) == 3
