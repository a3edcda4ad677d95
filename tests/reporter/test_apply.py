"""Requests go stage by stage with the generations that are known, and what they leave is known afterwards."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
import requests

from drivers.errors import ReshapeFailed
from provider_tree import Provider
from reporter.apply import apply
from reporter.placement import errors
from reporter.plan import Plan, Request
from tests.reporter.test_client_errors import URL, answer, client_over, error, sent_json

A, B, NEW = "aaaa", "bbbb", "cccc"
VGPU = {"VGPU": {"total": 4}}
BEFORE = {
    A: Provider(A, "a", 5, None, {"VCPU": {"total": 8}}, frozenset({"CUSTOM_A"})),
    B: Provider(B, "b", 7, A, VGPU),
}
Override = Callable[[str, str, Any], requests.Response | None]


class Fake:
    """Counts generations as Placement does and keeps what it was sent; ``override`` answers first."""

    def __init__(self, override: Override | None = None) -> None:
        self.generations = {uuid: each.generation or 0 for uuid, each in BEFORE.items()}
        self.sent: list[tuple[str, str, Any]] = []
        self._override = override
        self._lock = threading.Lock()
        self.client, _ = client_over(self._answer)

    def _answer(self, request: requests.PreparedRequest) -> requests.Response:
        method, path = str(request.method), str(request.url).removeprefix(URL)
        body = sent_json(request)
        with self._lock:
            self.sent.append((method, path, body))
        if self._override and (told := self._override(method, path, body)) is not None:
            return told
        with self._lock:
            return self._act(method, path, body)

    def _act(self, method: str, path: str, body: Any) -> requests.Response:
        match method, path.strip("/").split("/"):
            case "POST", ["resource_providers"]:
                self.generations[body["uuid"]] = 0
                return answer(200, {"uuid": body["uuid"], "generation": 0})
            case "PUT", ["resource_providers", uuid]:
                return answer(200, {"uuid": uuid, "generation": 99})
            case "GET", ["resource_providers", uuid, what]:
                generation = {"resource_provider_generation": self.generations[uuid]}
                return answer(200, {**generation, "usages": {}, **members(uuid, what)})
            case "PUT", ["resource_providers", uuid, _]:
                if body["resource_provider_generation"] != self.generations[uuid]:
                    return error(409, "placement.concurrent_update")
                self.generations[uuid] += 1
                return answer(200, {"resource_provider_generation": self.generations[uuid]})
        return answer(204)

    def paths(self) -> list[str]:
        return [f"{method} {path}" for method, path, _ in self.sent]


def members(uuid: str, what: str) -> dict[str, Any]:
    before = BEFORE.get(uuid) or Provider(uuid, uuid)
    return {
        "inventories": dict(before.inventory),
        "traits": [*before.traits, "CUSTOM_OTHERS"],
        "aggregates": sorted(before.aggregates),
    }


def put(stage: int, uuid: str, what: str, content: Any) -> Request:
    path = f"/resource_providers/{uuid}/{what}"
    return Request(stage, "PUT", path, {what: content}, (uuid,), conditional=True)


@pytest.fixture
def executor() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as made:
        yield made


def carry_out(fake: Fake, executor: Executor, *plan: Request, **more: Any) -> dict[str, int | None]:
    return apply(fake.client, Plan(plan), BEFORE, executor, **more)


def test_each_request_carries_the_generation_that_the_last_one_left(executor: Executor) -> None:
    fake = Fake()
    place = {"uuid": NEW, "name": "new", "parent_provider_uuid": A}
    learnt = carry_out(
        fake,
        executor,
        Request(0, "POST", "/resource_providers", place, (NEW,)),
        put(1, A, "traits", ["CUSTOM_B"]),
        put(1, NEW, "traits", ["CUSTOM_B"]),
        put(2, A, "aggregates", []),
        put(3, A, "inventories", VGPU),
        put(3, NEW, "inventories", VGPU),
    )
    assert learnt == {A: 8, B: 7, NEW: 2}
    told = [(path, body["resource_provider_generation"]) for _, path, body in fake.sent[1:]]
    assert sorted(told) == sorted(
        [
            (f"/resource_providers/{A}/traits", 5),
            (f"/resource_providers/{NEW}/traits", 0),
            (f"/resource_providers/{A}/aggregates", 6),
            (f"/resource_providers/{A}/inventories", 7),
            (f"/resource_providers/{NEW}/inventories", 1),
        ]
    )


def test_new_name_leaves_the_generation_to_those_who_moved_it(executor: Executor) -> None:
    """The answer's generation may be another writer's: with it we would write over what that one wrote."""
    fake = Fake()
    place = {"name": "other", "parent_provider_uuid": None}
    learnt = carry_out(fake, executor, Request(0, "PUT", f"/resource_providers/{A}", place, (A,)))
    assert learnt[A] == 5


def test_requests_of_a_stage_go_side_by_side_and_stages_one_after_the_other(executor: Executor) -> None:
    both = threading.Barrier(2, timeout=10)

    def wait(_method: str, path: str, _body: Any) -> None:
        if path.endswith("traits"):
            both.wait()  # breaks, and fails the test, unless the other request comes as well

    fake = Fake(wait)
    steps: list[tuple[int, int]] = []
    carry_out(
        fake,
        executor,
        put(0, A, "traits", []),
        put(0, B, "traits", []),
        put(1, A, "inventories", VGPU),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert fake.paths()[2] == f"PUT /resource_providers/{A}/inventories"
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_failure_lets_its_stage_end_and_nothing_more_is_sent(executor: Executor) -> None:
    def refuse(_method: str, path: str, _body: Any) -> requests.Response | None:
        return error(400) if A in path else None

    fake = Fake(refuse)
    steps: list[int] = []
    with pytest.raises(errors.BadRequest):
        carry_out(
            fake,
            executor,
            put(0, A, "traits", []),
            put(0, B, "traits", []),
            put(1, B, "inventories", VGPU),
            progress=lambda done, _total: steps.append(done),
        )
    assert sorted(fake.paths()) == [f"PUT /resource_providers/{each}/traits" for each in (A, B)]
    assert steps == [1]


def test_deleted_by_somebody_else_is_deleted(executor: Executor) -> None:
    fake = Fake(lambda *_: error(404, "placement.undefined_code"))
    learnt = carry_out(fake, executor, Request(0, "DELETE", f"/resource_providers/{B}", uuids=(B,)))
    assert learnt == {A: 5}


@pytest.mark.parametrize("what", ["traits", "inventories"])
def test_written_provider_that_somebody_deleted_is_planned_again(executor: Executor, what: str) -> None:
    fake = Fake(lambda *_: error(404, "placement.undefined_code"))
    with pytest.raises(errors.ConcurrentUpdate, match="deleted by somebody else"):
        carry_out(fake, executor, put(0, B, what, []))


def test_page_that_is_not_found_is_no_deletion(executor: Executor) -> None:
    """A proxy that answers 404 does not say that anything is gone."""
    fake = Fake(lambda *_: answer(404, b"<html>"))
    for request in (put(0, B, "traits", []), Request(0, "DELETE", f"/resource_providers/{B}", uuids=(B,))):
        with pytest.raises(errors.NotPlacement):
            carry_out(fake, executor, request)


def test_other_writers_keep_what_they_wrote(executor: Executor) -> None:
    fake = Fake()
    fake.generations[A] = 6  # somebody has set CUSTOM_OTHERS since
    learnt = carry_out(
        fake, executor, put(0, A, "traits", ["CUSTOM_B"]), put(1, A, "inventories", {"VCPU": {"total": 9}})
    )
    written = {path: body for method, path, body in fake.sent if method == "PUT"}
    # Ours goes, ours comes, theirs stays.
    assert set(written[f"/resource_providers/{A}/traits"]["traits"]) == {"CUSTOM_B", "CUSTOM_OTHERS"}
    assert written[f"/resource_providers/{A}/inventories"]["inventories"] == {"VCPU": {"total": 9}}
    # What we know of it is not all that it has.
    assert learnt == {A: None, B: 7}


def test_saved_plan_goes_as_it_is_or_not_at_all(executor: Executor) -> None:
    fake = Fake()
    fake.generations[A] = 6
    with pytest.raises(errors.ConcurrentUpdate):
        carry_out(fake, executor, put(0, A, "traits", ["CUSTOM_B"]), exactly=True)
    # The inventory is as it was: somebody only took or gave back some of it.
    carry_out(fake, executor, put(0, A, "inventories", {"VCPU": {"total": 9}}), exactly=True)


def test_writer_who_is_always_quicker_is_given_in_to(executor: Executor) -> None:
    overtaken = error(409, "placement.concurrent_update")
    fake = Fake(lambda method, _path, _body: overtaken if method == "PUT" else None)
    with pytest.raises(errors.ConcurrentUpdate):
        carry_out(fake, executor, put(0, A, "traits", ["CUSTOM_B"]))
    assert 5 < len(fake.paths()) < 50


def reshape(allocations: Any = None, **inventories: Any) -> Request:
    uuids = {"a": A, "b": B}
    body = {
        "inventories": {uuids[name]: {"inventories": each} for name, each in inventories.items()},
        "allocations": allocations or {},
    }
    return Request(0, "POST", "/reshaper", body, tuple(body["inventories"]), True, "1.37")


HELD = {"consumer": {"allocations": {A: {"resources": {"VCPU": 1}}}, "consumer_generation": 1}}


def test_reshaper_gets_all_generations_and_moves_them_as_it_does(executor: Executor) -> None:
    fake = Fake()
    assert carry_out(fake, executor, reshape(a=VGPU, b={})) == {A: 7, B: 8}
    [(_, _, body)] = fake.sent
    told = {uuid: each["resource_provider_generation"] for uuid, each in body["inventories"].items()}
    assert told == {A: 5, B: 7}


def test_after_allocations_have_moved_generations_must_be_read(executor: Executor) -> None:
    assert carry_out(Fake(), executor, reshape(HELD, b=VGPU)) == {A: None, B: None}


def test_reshape_that_does_not_fit_names_consumers(executor: Executor) -> None:
    fake = Fake(lambda *_: error(409, "placement.undefined_code"))
    with pytest.raises(ReshapeFailed, match=r"consumers consumer cannot move: .*what went wrong") as caught:
        carry_out(fake, executor, reshape(HELD, b=VGPU))
    assert caught.value.advice
    with pytest.raises(errors.Conflict):
        carry_out(fake, executor, reshape(b=VGPU))
    many = {f"consumer{number}": HELD["consumer"] for number in range(9)}
    with pytest.raises(ReshapeFailed, match="consumer4 and 4 more"):
        carry_out(fake, executor, reshape(many, b=VGPU))


@pytest.mark.parametrize("code", ["placement.concurrent_update", "placement.inventory.inuse"])
def test_reshape_that_was_overtaken_is_planned_again(executor: Executor, code: str) -> None:
    fake = Fake(lambda *_: error(409, code))
    with pytest.raises((errors.ConcurrentUpdate, errors.InventoryInUse)):
        carry_out(fake, executor, reshape(HELD, b=VGPU))


def test_reshape_over_what_others_wrote_is_not_sent(executor: Executor) -> None:
    fake = Fake()
    fake.generations[A] = 6
    later = replace(reshape(a=VGPU), stage=1)
    with pytest.raises(errors.ConcurrentUpdate):
        carry_out(fake, executor, put(0, A, "traits", ["CUSTOM_B"]), later)
    assert "POST /reshaper" not in fake.paths()
