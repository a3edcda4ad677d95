"""From what Placement has and what the driver wants to a report: changes, what is held, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from drivers.errors import ReshapeFailed
from provider_tree import Change, Changes, ProviderTree, diff
from reporter import policy, reshape, unfit
from reporter.errors import InvalidWish
from reporter.explain import Teller
from reporter.merge import Covered, Merged, keep_root, merge, moved_classes
from reporter.names import Known, names_to_ask_for, without_names
from reporter.placement.usages import Usages, read_usages
from reporter.plan import Plan, make_plan
from reporter.report import Report

if TYPE_CHECKING:
    from drivers.base import Allocations
    from reporter.context import Context, Mode, NodeMemory
    from reporter.identity import Root
    from reporter.placement.snapshot import Snapshot
    from reporter.state.ledger import Ledger
    from reporter.wish import Wish


_WAITS = "its allocations would move to what is held back"


@dataclass
class Comparison:
    """Compares for one node in one cycle.

    :ivar used_reshaper_for_inventories: the plan sends inventories of several providers through the reshaper
    """

    context: Context
    memory: NodeMemory
    node: str
    mode: Mode
    used_reshaper_for_inventories: bool = False

    def report(self, root: Root, snapshot: Snapshot, ledger: Ledger, wish: Wish) -> Report:
        """Compare, hold and plan."""
        current = snapshot.tree
        covered = self._covered(current, wish)
        vocabulary = self.context.driver.vocabulary
        merged = merge(current, wish.tree, ledger, vocabulary, covered, self.context.settings.owner_trait)
        if self.context.settings.manage == "children":
            self._refuse_reshape_of_root(root.uuid, wish, covered)
            merged = self._children_only(keep_root(merged, current, root.uuid), current, ledger)
        merged = unfit.left_out(merged, current, wish.tree)
        wanted, changes = merged.tree, diff(current, merged.tree)
        held = self._hold(changes, current, wanted, wish, root, covered)
        held += self._contested(changes)
        if held:
            wanted = policy.without(wanted, current, held)
            whole, changes = changes, diff(current, wanted)
            held += policy.held_along(whole, changes, held)
        wanted, changes, unknown = self._known_only(wanted, changes, current)
        teller = Teller(
            current,
            wish.tree,
            ledger,
            self.context.driver_name,
            self.context.settings.owner_trait,
            covered.classes,
        )
        changes = teller.with_reasons(changes)
        held = [replace(each, change=teller.with_reason(each.change)) for each in held]
        if wish.after:
            moves = reshape.describe(wish.before, wish.after, current, wanted)
            why = self._why_no_reshape(wish, merged.tree, wanted)
            if not why:
                changes = Changes((*changes, *moves))
            else:
                wanted, left = self._without_reshape(changes, current, wanted, wish, covered)
                parted = [each for each in changes if each not in left]
                held += [policy.Held(each, why, forceable=why == _WAITS) for each in (*parted, *moves)]
                changes = left
                wish = replace(wish, before={}, after={})
        return Report(
            node=self.node,
            root_uuid=root.uuid,
            current=current,
            desired=wish.tree,
            wanted=wanted,
            changes=changes,
            plan=self._plan(changes, current, wanted, wish) if changes else Plan(),
            held=tuple(held),
            notices=(*wish.warnings, *merged.notices, *unknown, *self._missing_role(wish)),
            ledger=ledger,
            consumers_before=wish.before,
        )

    def _covered(self, current: ProviderTree, wish: Wish) -> Covered:
        if not wish.reshaped:
            return Covered()
        return moved_classes(current, wish.tree, wish.moved_from(), self.context.driver.reshape_rules.group)

    def _refuse_reshape_of_root(self, root_uuid: str, wish: Wish, covered: Covered) -> None:
        advice = "set [reporter] manage = tree, or let nova-compute do this reshape"
        for consumer, allocation in wish.after.items():
            changed = (
                reshape.resources_of(wish.before[consumer]).items() ^ reshape.resources_of(allocation).items()
            )
            if any(uuid == root_uuid for (uuid, _), _ in changed):
                raise ReshapeFailed(
                    f"the reshape would move allocations of consumer {consumer} to or from the root", advice
                )
        if classes := sorted(name for uuid, name in covered.classes if uuid == root_uuid):
            raise ReshapeFailed(f"the reshape would take {', '.join(classes)} from the root", advice)

    def _children_only(self, merged: Merged, current: ProviderTree, ledger: Ledger) -> Merged:
        """``manage = children``: refuse what would leave nothing to do."""
        root_uuid = next(each.uuid for each in current.providers())
        if merged.tree == current and not ledger.entries and not self._marked_below(root_uuid, current):
            raise InvalidWish(
                "nothing is left to manage: all the driver reports is on the root, which is not ours",
                "set [reporter] manage = tree, or give the driver providers below the root",
            )
        return merged

    def _marked_below(self, root_uuid: str, current: ProviderTree) -> bool:
        """Whether a provider below the root has our mark: the ledger may be lost."""
        return any(
            self.context.settings.owner_trait in each.traits
            for each in current.providers()
            if each.uuid != root_uuid
        )

    def _contested(self, changes: Changes) -> list[policy.Held]:
        contest = self.memory.contest
        contest.load(self.context.state, self.node)
        return [] if self.mode.force else contest.left_alone(changes)

    def _hold(
        self,
        changes: Changes,
        current: ProviderTree,
        wanted: ProviderTree,
        wish: Wish,
        root: Root,
        covered: Covered,
    ) -> list[policy.Held]:
        if self.mode.force:
            return []
        known = wish.usages if wish.reshaped else None
        left = usages_left(self.context, changes, current, wish.before, wish.after, known)
        held = policy.in_use(changes, left)
        if self.mode.service:
            moved, percent = wish.moved_from() | covered.classes, self.context.settings.max_shrink_percent
            patient = policy.renames_root(changes, root.uuid)
            patient += policy.shrinks(changes, percent, moved)
            patient += policy.vanishing(changes, current, wanted, percent, moved)
            for each in self.memory.patience.still_held(patient):
                if not any(each.change is other.change for other in held):
                    held.append(each)
        return held

    def _without_reshape(
        self, changes: Changes, current: ProviderTree, wanted: ProviderTree, wish: Wish, covered: Covered
    ) -> tuple[ProviderTree, Changes]:
        """``wanted`` and ``changes`` less what may not be while allocations stay where they are."""
        classes = {name for _, name in (*covered.classes, *wish.moved_places())}
        held = [policy.Held(each, "") for each in policy.of_reshape(changes, current, wanted, classes)]
        try:
            kept = policy.without(wanted, current, held)
        except InvalidWish:  # a name was to pass from one provider to another with the move
            kept = current
        left = {_what(each) for each in diff(current, kept)}
        return kept, Changes(each for each in changes if _what(each) in left)

    def _why_no_reshape(self, wish: Wish, whole: ProviderTree, wanted: ProviderTree) -> str:
        """Why allocations must stay where they are; empty if they may move.

        :param whole: what is wanted, with what is held
        :raises ReshapeFailed: they may, but could not even if nothing were held
        """
        when = self.context.settings.reshape
        if when == "never" or (when == "startup" and self.memory.synced):
            return f"[reporter] reshape = {when}"
        self._check_reshape(wish, whole)
        try:
            self._check_reshape(wish, wanted)
        except ReshapeFailed:
            return _WAITS
        return ""

    def _missing_role(self, wish: Wish) -> list[str]:
        roles = self.context.client.roles() if wish.after else None
        if roles is None or "service" in roles:
            return []
        has = ", ".join(sorted(roles)) or "no role"
        return [
            f"to move allocations takes role service, unless Placement's policy says otherwise; we have {has}"
        ]

    def _check_reshape(self, wish: Wish, wanted: ProviderTree) -> None:
        reshape.check(wish.before, wish.after, wanted, wish.usages, self.context.driver.reshape_rules)

    def _plan(self, changes: Changes, current: ProviderTree, wanted: ProviderTree, wish: Wish) -> Plan:
        allocations = reshape.reshaper_body(wish.after) if wish.after else None
        at_once = allocations is None and not self.mode.one_by_one
        at_once = at_once and self.context.may_send_inventories_at_once()
        missing = self.context.names.missing(names_to_ask_for(changes, current))
        plan = make_plan(changes, current, wanted, missing, atomic=at_once, allocations=allocations)
        self.used_reshaper_for_inventories = at_once and any(each.is_reshape for each in plan.requests)
        return plan

    def _known_only(
        self, wanted: ProviderTree, changes: Changes, current: ProviderTree
    ) -> tuple[ProviderTree, Changes, list[str]]:
        """Leave out standard names that this Placement, of an older release, does not know."""
        self._learn(names_to_ask_for(changes, current))
        strange = self.context.names.strange()
        if not (strange.classes or strange.traits):
            return wanted, changes, []
        tree, left_out = without_names(wanted, strange, current)
        notices = [
            f"{each} left out: Placement does not know it (its os-traits or os-resource-classes is older)"
            for each in sorted(left_out.classes | left_out.traits)
        ]
        return tree, diff(current, tree), notices

    def _learn(self, asked: Known) -> None:
        """Find out which names Placement has; each name is asked for once in the life of a Reporter."""
        names = self.context.names
        classes, traits = asked.classes - names.asked.classes, asked.traits - names.asked.traits
        client, submit = self.context.client, self.context.executor.submit
        listing = submit(client.resource_classes) if classes else None
        existing = submit(client.existing_traits, traits) if traits else None
        found = Known(
            listing.result() & classes if listing else frozenset(),
            existing.result() if existing else frozenset(),
        )
        names.learn(Known(classes, traits), found)


def _what(change: Change) -> tuple[object, ...]:
    return change.kind, change.action, change.uuid, change.resource_class


def usages_left(
    context: Context,
    changes: Changes,
    current: ProviderTree,
    before: Allocations,
    after: Allocations,
    known: Usages | None = None,
) -> Usages:
    """What will be in use on the providers that lose something, when the consumers have moved.

    :param known: what is in use anywhere in the tree, where that has been read
    """
    uuids = sorted(policy.needs_usages(changes))
    if known is not None:
        usages = {uuid: known.get(uuid, {}) for uuid in uuids}
    else:
        usages = read_usages(context.client, uuids, current, context.executor)
    return reshape.usages_after(usages, before, after)
