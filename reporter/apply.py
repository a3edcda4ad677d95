"""Send a plan's requests: the only writer.

Stage after stage; requests within a stage go on several connections. A failure ends it after the stage's
other requests have ended, and nothing needs undoing: each prefix of a plan is legal, and the next cycle goes
on from there.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from drivers.errors import ReshapeFailed
from provider_tree import Provider
from reporter.placement import errors
from reporter.rebase import rebased

if TYPE_CHECKING:
    from reporter.placement.client import PlacementClient
    from reporter.plan import Plan, Request

Generations = dict[str, int | None]
"""Provider uuid → its generation after all we sent; None where it must be read again."""

_GENERATION = "resource_provider_generation"
_SHOWN = 5
_TRIES = 10  # of one request, where other writers keep moving its provider


def apply(
    client: PlacementClient,
    plan: Plan,
    before: Mapping[str, Provider],
    executor: Executor,
    progress: Callable[[int, int], None] | None = None,
    *,
    exactly: bool = False,
) -> Generations:
    """Make every request of the plan.

    :param before: the providers as they were read, by uuid
    :param progress: called with the number of requests made and to be made
    :param exactly: where others wrote meanwhile, nothing but the planned bodies will do
    :return: the generations after; deleted providers are left out
    :raises reporter.placement.errors.PlacementError: the first failure; the requests before it have been made
    """
    sender = _Sender(client, before, exactly=exactly)
    done = 0
    for stage in plan.stages():
        failure: Exception | None = None
        futures = [executor.submit(sender.send, request) for request in stage]
        for future in futures:
            try:
                future.result()
            except Exception as error:  # noqa: BLE001 - kept, and raised when the whole stage has ended
                failure = failure or error
                continue
            done += 1
            if progress is not None:
                progress(done, len(plan.requests))
        if failure is not None:
            raise failure
    return sender.learnt()


class _Sender:
    """Sends requests, several at once if they write different providers; knows the generations they leave."""

    def __init__(self, client: PlacementClient, before: Mapping[str, Provider], *, exactly: bool) -> None:
        self._client, self._before, self._exactly = client, before, exactly
        self._generations: Generations = {uuid: each.generation for uuid, each in before.items()}
        self._gone: set[str] = set()
        # Others wrote to these meanwhile: what we know of them is not all they have.
        self._moved: set[str] = set()

    def learnt(self) -> Generations:
        """What is known of the generations now."""
        return {
            uuid: None if uuid in self._moved else each
            for uuid, each in self._generations.items()
            if uuid not in self._gone
        }

    def send(self, request: Request) -> None:
        """Make one request, and learn what it tells of the generations of the providers that it wrote."""
        if request.is_reshape:
            self._reshape(request)
        elif request.conditional and request.body is not None:
            self._put(request, request.uuids[0])
        else:
            self._send_plainly(request)

    def _send_plainly(self, request: Request) -> None:
        """Providers come, go and change places; classes and traits come."""
        if request.method == "DELETE":
            with contextlib.suppress(errors.NotFound):  # by somebody else
                self._request(request, None)
            self._gone.update(request.uuids)
            return
        answer = self._request_existing(request, request.body)
        if request.method == "POST":
            self._generations.update(dict.fromkeys(request.uuids, answer.get("generation")))
        # A new name or place moves no generation. What the answer has may be from another writer: to take it
        # over would let what we send next overwrite what that one wrote.

    def _put(self, request: Request, uuid: str) -> None:
        """Write one kind of record of one provider."""
        generation, body = self._generations[uuid], request.body
        for left in reversed(range(_TRIES)):
            if uuid in self._moved:
                before = self._before.get(uuid) or Provider(uuid, uuid)
                generation, body = self._reread(request, before)
            try:
                answer = self._request_existing(request, {**(body or {}), _GENERATION: generation})
            except (errors.ConcurrentUpdate, errors.InternalError) as error:
                if not self._overtook(error, uuid, generation):
                    raise
                if not left:
                    raise _always_quicker(request) from error
                self._moved.add(uuid)
            else:
                self._generations[uuid] = _told_generation(request, answer)
                return

    def _overtook(self, error: errors.PlacementError, uuid: str, generation: int | None) -> bool:
        """Whether a write failed because another one was quicker.

        To two who write the traits of a provider at the same moment Placement answers 500, not 409.
        """
        return isinstance(error, errors.ConcurrentUpdate) or self._client.traits(uuid)[0] != generation

    def _reread(self, request: Request, before: Provider) -> tuple[int, Mapping[str, Any]]:
        try:
            return rebased(self._client, request, before, exactly=self._exactly)
        except errors.NotFound:
            raise _deleted(request) from None

    def _reshape(self, request: Request) -> None:
        body = request.body or {}
        if not self._moved.isdisjoint(request.uuids):
            raise errors.ConcurrentUpdate(
                f"others wrote to a provider that {request} was to write", "the next cycle reads it again"
            )
        inventories = {
            uuid: {**each, _GENERATION: self._generations[uuid]} for uuid, each in body["inventories"].items()
        }
        try:
            self._request_existing(request, {**body, "inventories": inventories})
        except errors.Conflict as error:
            if type(error) is not errors.Conflict or not body["allocations"]:
                raise
            raise _no_room(list(body["allocations"]), error) from error
        touched = {uuid for each in body["allocations"].values() for uuid in each["allocations"]}
        for uuid in {*request.uuids, *(touched & self._generations.keys())}:
            self._generations[uuid] = (
                None if touched else self._after_reshape(uuid, body["inventories"][uuid])
            )

    def _after_reshape(self, uuid: str, sent: Mapping[str, Any]) -> int | None:
        """What Placement does not tell: without allocations it counts one each for old and new inventory."""
        generation = self._generations[uuid]
        return None if generation is None else generation + (2 if sent["inventories"] else 1)

    def _request_existing(self, request: Request, body: Mapping[str, Any] | None) -> dict[str, Any]:
        """Make a request to something that must still be there."""
        try:
            return self._request(request, body)
        except errors.NotFound:
            raise _deleted(request) from None

    def _request(self, request: Request, body: Mapping[str, Any] | None) -> dict[str, Any]:
        return self._client.request(request.method, request.path, body, microversion=request.microversion)


def _told_generation(request: Request, answer: Mapping[str, Any]) -> int:
    """What each conditional write is answered with; where it is not, somebody else has answered."""
    generation = answer.get(_GENERATION)
    if not isinstance(generation, int):
        raise errors.NotPlacement(
            f"the answer to {request} does not tell the generation, so it may not have been written",
            "check that the URL is Placement's, and that no proxy answers for it",
        )
    return generation


def _no_room(consumers: list[str], error: errors.Conflict) -> ReshapeFailed:
    """Of providers in other trees only Placement knows what they can hand out."""
    names = ", ".join(consumers[:_SHOWN])
    if len(consumers) > _SHOWN:
        names += f" and {len(consumers) - _SHOWN} more"
    return ReshapeFailed(
        f"the allocations of consumers {names} cannot move: {error.what}",
        "look at the inventory of the provider that it names: all that these consumers hold must fit, also "
        "what does not move",
    )


def _always_quicker(request: Request) -> errors.ConcurrentUpdate:
    return errors.ConcurrentUpdate(
        f"others wrote to the provider of {request} each of the {_TRIES} times that it was tried",
        "the next cycle reads it again",
    )


def _deleted(request: Request) -> errors.ConcurrentUpdate:
    return errors.ConcurrentUpdate(
        f"the provider of {request} was deleted by somebody else", "the next cycle reads it again"
    )
