from __future__ import annotations

import pytest

from reporter.service.backoff import Backoff


def test_pauses_grow_to_a_limit() -> None:
    backoff = Backoff(60)
    pauses = [backoff.failed(0) for _ in range(12)]
    for pause, expected in zip(pauses, [60, 120, 240, 480, *[900] * 8], strict=True):
        assert 0.8 * expected <= pause <= 1.2 * expected
    assert len(set(pauses)) == len(pauses), "jitter: many hosts must not come back at the same moment"


@pytest.mark.parametrize(("interval", "limit"), [(1, 16), (60, 900), (3600, 3600)])
def test_the_limit_is_sixteen_intervals_or_a_quarter_of_an_hour(interval: float, limit: float) -> None:
    backoff = Backoff(interval)
    assert max(backoff.failed(0) for _ in range(200)) <= 1.2 * limit


def test_the_other_side_may_ask_for_more_but_not_for_ever() -> None:
    assert Backoff(1).failed(0, at_least=100) == 100
    assert Backoff(1).failed(0, at_least=1e9) == 3600
    assert Backoff(1).failed(0, at_least=0) <= 1.2


def test_what_failed_is_due_after_its_pause_and_what_succeeded_at_once() -> None:
    backoff = Backoff(10)
    assert backoff.is_due(-1e9)
    pause = backoff.failed(1000)
    assert not backoff.is_due(1000 + pause - 0.1)
    assert backoff.is_due(1000 + pause)
    assert backoff.succeeded() == 1
    assert backoff.is_due(0)
    assert 8 <= backoff.failed(1000) <= 12, "the pauses start anew"


def test_an_interruption_ends_a_pause_that_is_not_firm() -> None:
    backoff = Backoff(10)
    backoff.failed(1000)
    backoff.interrupt()
    assert backoff.is_due(1000)
    assert backoff.failed(1000, firm=True) >= 16, "it was the second in a row all the same"
    backoff.interrupt()
    assert not backoff.is_due(1000)
