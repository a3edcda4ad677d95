"""What can become of a request, beside that it is answered."""

from __future__ import annotations

import json
from dataclasses import replace

from tests.faults.door import Act, Fault, Lost
from tests.faults.remembered import Answer

_JSON = ("Content-Type", "application/json")


def reset_before_it_acted(act: Act) -> Lost:
    return Lost.RESET


def reset_after_it_acted(act: Act) -> Lost:
    act()
    return Lost.RESET


def hangs_and_is_acted_on_later(act: Act) -> Lost:
    return Lost.HANGS


def sent_twice_by_a_proxy(act: Act) -> Answer:
    """The first answer was lost on the way; the proxy tried again and hands on the second."""
    act()
    return act()


def conflict(act: Act) -> Answer:
    return _error("409 Conflict", "placement.concurrent_update")


def internal_error(act: Act) -> Answer:
    return _error("500 Internal Server Error", "placement.undefined_code")


def gateway_timed_out(act: Act) -> Answer:
    act()
    return Answer("504 Gateway Time-out", (("Content-Type", "text/html"),), b"<h1>504 Gateway Time-out</h1>")


def unavailable(act: Act) -> Answer:
    return Answer("503 Service Unavailable", (("Content-Type", "text/html"), ("Retry-After", "1")), b"<html>")


def too_many_requests(act: Act) -> Answer:
    return Answer("429 Too Many Requests", (("Retry-After", "1"),), b"")


def token_gone(act: Act) -> Answer:
    headers = (_JSON, ("WWW-Authenticate", "Keystone uri='http://127.0.0.1/'"))
    return replace(_error("401 Unauthorized", "placement.undefined_code"), headers=headers)


def html(act: Act) -> Answer:
    return Answer("200 OK", (("Content-Type", "text/html"),), b"<!DOCTYPE html><title>Please log in</title>")


def truncated_json(act: Act) -> Answer:
    answer = act()
    return Answer("200 OK", (_JSON,), (answer.body or b'{"generation": 1}')[: len(answer.body) // 2 or 5])


def connection_lost_in_the_body(act: Act) -> Answer:
    answer = replace(act(), status="200 OK")
    return replace(answer, body=answer.body[: len(answer.body) // 2], promised=len(answer.body) + 100)


OF_READS: tuple[Fault, ...] = (
    reset_before_it_acted,
    hangs_and_is_acted_on_later,
    conflict,
    internal_error,
    unavailable,
    too_many_requests,
    token_gone,
    html,
    truncated_json,
    connection_lost_in_the_body,
)
OF_WRITES: tuple[Fault, ...] = (
    *OF_READS,
    reset_after_it_acted,
    sent_twice_by_a_proxy,
    gateway_timed_out,
)
#: one for each thing that can become of what a request is to write
EFFECTS: tuple[Fault, ...] = (
    reset_before_it_acted,
    reset_after_it_acted,
    hangs_and_is_acted_on_later,
    sent_twice_by_a_proxy,
    conflict,
)


def _error(status: str, code: str) -> Answer:
    error = {"status": int(status[:3]), "title": status[4:], "code": code, "detail": "made up by a test"}
    return Answer(status, (_JSON,), json.dumps({"errors": [error]}).encode())
