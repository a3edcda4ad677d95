"""Calls with a time limit: what hangs is given up, and threads do not pile up."""

import threading
import time

import pytest

from drivers.libvirt.lanes import Hung, Lanes


class Daemon:
    """Gives numbered connections, and hangs while ``gate`` is closed."""

    def __init__(self):
        self.opened = 0
        self.closed = []
        self.gate = threading.Event()
        self.gate.set()

    def connect(self):
        self.opened += 1
        return self.opened

    def disconnect(self, connection):
        self.closed.append(connection)

    def answer(self, connection):
        self.gate.wait(30)
        return connection


@pytest.fixture
def daemon():
    daemon = Daemon()
    yield daemon
    daemon.gate.set()


def lanes_of(daemon, time_limit=0.2, most_hung=3):
    return Lanes(daemon.connect, daemon.disconnect, time_limit, most_hung)


def call_threads():
    return sum(thread.name == "libvirt-calls" for thread in threading.enumerate())


def wait_until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_calls_share_one_connection_and_run_off_the_callers_thread(daemon):
    lanes = lanes_of(daemon)
    names = {lanes.call(lambda _: threading.current_thread().name) for _ in range(3)}
    assert names == {"libvirt-calls"}
    assert daemon.opened == 1
    lanes.close()
    assert daemon.closed == [1]


def test_what_a_call_raises_reaches_the_caller(daemon):
    lanes = lanes_of(daemon)

    def fail(_connection):
        raise KeyError("no such thing")

    with pytest.raises(KeyError, match="no such thing"):
        lanes.call(fail)
    assert lanes.call(daemon.answer) == 1
    lanes.close()


def test_an_opening_that_fails_is_tried_again_by_the_next_call(daemon):
    answers = [OSError("down"), "up"]

    def connect():
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    lanes = Lanes(connect, daemon.disconnect, 5)
    with pytest.raises(OSError, match="down"):
        lanes.call(str)
    assert lanes.call(str) == "up"
    lanes.close()


def test_a_dropped_connection_is_closed_and_another_one_opened(daemon):
    lanes = lanes_of(daemon)
    assert lanes.call(daemon.answer) == 1
    lanes.drop()
    assert lanes.call(daemon.answer) == 2
    assert daemon.closed == [1]
    lanes.close()


def test_a_hung_call_is_given_up_in_time_and_the_next_one_takes_another_connection(daemon):
    lanes = lanes_of(daemon)
    daemon.gate.clear()
    before = time.monotonic()
    with pytest.raises(Hung) as hung:
        lanes.call(daemon.answer)
    assert time.monotonic() - before < 2
    assert not hung.value.refused
    assert lanes.call(lambda connection: connection) == 2
    daemon.gate.set()
    wait_until(lambda: daemon.closed == [1])
    lanes.close()


def test_no_more_than_a_few_lanes_hang_and_they_end_when_the_daemon_wakes_up(daemon):
    lanes = lanes_of(daemon, time_limit=0.05, most_hung=3)
    before = call_threads()
    daemon.gate.clear()
    refused = []
    for _ in range(20):
        with pytest.raises(Hung) as hung:
            lanes.call(daemon.answer)
        refused.append(hung.value.refused)
    assert refused == [False] * 3 + [True] * 17
    assert call_threads() - before == 3
    daemon.gate.set()
    wait_until(lambda: call_threads() == before)
    assert lanes.call(daemon.answer) == 4
    lanes.close()


def test_a_call_that_ends_late_is_told(daemon):
    lanes = lanes_of(daemon, time_limit=0.05)
    late = []
    lanes.late = lambda: late.append(True)
    lanes.call(daemon.answer)
    daemon.gate.clear()
    with pytest.raises(Hung):
        lanes.call(daemon.answer)
    assert late == []
    daemon.gate.set()
    wait_until(lambda: late == [True])
    lanes.close()


def test_closing_leaves_a_hung_lane_behind(daemon):
    lanes = lanes_of(daemon)
    daemon.gate.clear()
    with pytest.raises(Hung):
        lanes.call(daemon.answer)
    before = time.monotonic()
    lanes.close()
    assert time.monotonic() - before < 1


def test_closing_gives_up_a_call_that_is_under_way(daemon):
    lanes = lanes_of(daemon, time_limit=30)
    daemon.gate.clear()
    ended = []

    def ask():
        with pytest.raises(Hung):
            lanes.call(daemon.answer)
        ended.append(time.monotonic())

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: daemon.opened == 1)
    before = time.monotonic()
    lanes.close()
    asking.join(5)
    assert ended
    assert ended[0] - before < 2


def test_a_connection_that_hangs_while_it_is_closed_is_left_behind(daemon):
    lanes = Lanes(daemon.connect, lambda _: daemon.gate.wait(30), 5)
    lanes.call(daemon.answer)
    daemon.gate.clear()
    before = time.monotonic()
    lanes.close()
    assert time.monotonic() - before < 4
