"""A plan that was saved: what ``diff --out`` found is what ``sync --plan`` does, or it refuses.

Beside the requests it holds each touched provider as it was and as it is to be. It is stale when one of those
has changed (inventory, traits, aggregates, name, parent, moved allocations). A generation that only
allocations moved on is read again: generations are not part of it. One that stopped half-way, at a conflict
or a crash, goes on with the requests that are left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from provider_tree import Changes, Kind, Provider, ProviderTree, diff
from provider_tree.errors import InvalidTree
from reporter.plan import Plan, Request
from reporter.plan_progress import Progress, records, stale

if TYPE_CHECKING:
    from drivers.base import Allocations
    from reporter.report import Report
    from reporter.state.ledger import Ledger


@dataclass(frozen=True, slots=True)
class SavedPlan:
    """The plan of one node.

    :ivar placement: the label of the Placement that it was made for
    :ivar before: touched providers as they were, by uuid
    :ivar after: touched providers as they are to be; a deleted one is missing
    :ivar consumers: consumers that move, as they were (a driver's shape)
    """

    node: str
    root_uuid: str
    placement: str
    changes: Changes
    plan: Plan
    before: Mapping[str, Provider] = field(default_factory=dict)
    after: Mapping[str, Provider] = field(default_factory=dict)
    consumers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, report: Report, placement: str) -> SavedPlan:
        """What a dry run found, to be kept."""
        touched = {each.uuid for each in report.changes if each.kind is not Kind.ALLOCATIONS}
        touched.update(uuid for each in report.plan.requests for uuid in each.uuids)
        return cls(
            report.node,
            report.root_uuid,
            placement,
            report.changes,
            report.plan,
            {uuid: report.current.provider(uuid) for uuid in touched if uuid in report.current},
            {uuid: report.wanted.provider(uuid) for uuid in touched if uuid in report.wanted},
            report.consumers_before,
        )

    @property
    def moves_allocations(self) -> bool:
        """Whether allocations move."""
        return any(each.kind is Kind.ALLOCATIONS for each in self.changes)

    def writes(self, uuid: str) -> bool:
        """Whether a request writes that provider."""
        return any(uuid in each.uuids for each in self.plan.requests)

    def remaining(self, current: ProviderTree, consumers: Allocations, ledger: Ledger) -> Plan:
        """The requests that are still to be made, with the consumers' generations of now.

        :param consumers: the consumers of ``self.consumers`` as they are now
        :param ledger: knows which of the providers that are to be made we have made already
        :raises reporter.errors.StalePlan: something that the plan touches differs, or nothing is left to do
        """
        touched = {*self.before, *self.after}
        names = {each.uuid: each.name for each in (*self.after.values(), *self.before.values())}
        now = {uuid: current.provider(uuid) for uuid in touched if uuid in current}
        progress = Progress(
            self.plan.requests,
            records(self.before, self.consumers),
            records(now, consumers),
            names,
            lambda uuid: (entry := ledger.entry(uuid)) is not None and entry.created,
        )
        left = progress.remaining()
        if self.plan and not left:
            raise stale("it has been carried out already")
        return Plan(tuple(_with_consumer_generations(each, consumers) for each in left))

    def wanted(self, current: ProviderTree) -> ProviderTree:
        """``current`` with the plan carried out.

        :raises reporter.errors.StalePlan: a name is taken, a parent is gone, or others have children below
        """
        kept = {each.uuid: each for each in current.providers()}
        for uuid in self.before.keys() - self.after.keys():
            kept.pop(uuid, None)
        for uuid, provider in self.after.items():
            generation = kept[uuid].generation if uuid in kept else None
            kept[uuid] = replace(provider, generation=generation)
        for each in kept.values():
            if each.parent_uuid is not None and each.parent_uuid not in kept:
                above = self.before.get(each.parent_uuid) or current.by_uuid().get(each.parent_uuid)
                name = above.name if above else each.parent_uuid
                raise stale(f"{each.name} is below provider {name}, which is gone or to be deleted")
        try:
            return ProviderTree.from_providers(kept.values())
        except (InvalidTree, ValueError) as error:
            raise stale(str(error)) from error

    def changes_left(self, current: ProviderTree, plan: Plan) -> Changes:
        """Those of the changes that ``plan``, what remains of the plan, makes."""
        left = {(each.kind, each.uuid, each.resource_class) for each in diff(current, self.wanted(current))}
        moves = any(each.is_reshape for each in plan.requests)
        return Changes(
            each
            for each in self.changes
            if (each.kind, each.uuid, each.resource_class) in left
            or (each.kind is Kind.ALLOCATIONS and moves)
        )

    def moved(self) -> Allocations:
        """The consumers that move, as they are to be."""
        bodies = [each.body for each in self.plan.requests if each.is_reshape and each.body]
        return {consumer: each for body in bodies for consumer, each in body["allocations"].items()}


def _with_consumer_generations(request: Request, consumers: Allocations) -> Request:
    if not request.is_reshape or request.body is None:
        return request
    allocations = {
        consumer: {**each, "consumer_generation": consumers[consumer]["consumer_generation"]}
        for consumer, each in request.body["allocations"].items()
    }
    return replace(request, body={**request.body, "allocations": allocations})
