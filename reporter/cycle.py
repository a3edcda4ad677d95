"""One cycle for one node, from driver to Placement. A dry run is the same way less the last step.

snapshot ─► wish (driver, overlays) ─► merge ─► diff ─► policy ─► plan ─► apply
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from provider_tree import Action, Changes, Kind, ProviderTree
from reporter import identity, policy, reshape
from reporter.apply import apply
from reporter.compare import Comparison, usages_left
from reporter.errors import StalePlan
from reporter.locate import Locator
from reporter.placement.snapshot import Snapshot
from reporter.report import Report
from reporter.state.ledger import Ledger, after_cycle, before_writing
from reporter.wish import Wish, ask

if TYPE_CHECKING:
    from drivers.base import Allocations
    from reporter.context import Context, Mode, NodeMemory, Progress
    from reporter.saved_plan import SavedPlan


class Cycle:
    """One attempt at one node."""

    def __init__(
        self,
        context: Context,
        memory: NodeMemory,
        node: str,
        mode: Mode,
        sent_before: int,
        progress: Progress | None = None,
    ) -> None:
        self.context, self.memory, self.node, self.mode = context, memory, node, mode
        self.client, self.settings, self.state = context.client, context.settings, context.state
        self._locator = Locator(context, memory, node, _told_as(progress, "reading providers"))
        self._comparison = Comparison(context, memory, node, mode)
        self._sent_before = sent_before
        self._progress = progress
        self._changes = Changes()
        self._root_uuid = ""

    def run(self) -> Report:
        """Do all of it.

        :return: what was found, and done unless it is a dry run
        """
        stored = self._locator.ledger()
        root, snapshot = self._locator.find_tree(
            stored, take_name_holder=self.mode.adopt or self.mode.dry_run
        )
        ledger = self._valid(stored, root, snapshot.tree)
        adoption = None
        if self.settings.manage == "tree":
            adoption = identity.why_adoption(snapshot, root, ledger, stored)
        context = self.context
        wish = ask(
            context.driver,
            root,
            snapshot.tree,
            ledger,
            context.overlays,
            self.client,
            context.executor,
            self.memory.views,
        )
        report = replace(self._comparison.report(root, snapshot, ledger, wish), adoption=adoption)
        if not self.mode.dry_run:
            if adoption is not None:
                if not self.mode.adopt:
                    raise adoption
                ledger = replace(ledger, adopted=True)
            self._carry_out(stored, ledger, report, wish)
        return replace(
            report, applied=not self.mode.dry_run, requests_sent=self.client.requests_sent - self._sent_before
        )

    def run_saved(self, saved: SavedPlan) -> Report:
        """Make exactly the requests of a saved plan.

        :raises reporter.errors.StalePlan: a record that it touches has changed
        """
        if saved.placement != self.client.label:
            raise StalePlan(
                f"the plan was made for the Placement {saved.placement}, this one is {self.client.label}",
                "name the same Placement, or make a new plan with diff --out FILE",
            )
        self._check_settings(saved)
        stored = self._locator.ledger()
        root = identity.Root(self.node, saved.root_uuid)
        current = self._locator.snapshot(root).tree
        ledger = self._valid(stored, root, current)
        adoption = None
        if self.settings.manage == "tree":
            adoption = identity.why_adoption(Snapshot(root.uuid, current), root, ledger, stored)
            if adoption is not None and not self.mode.adopt:
                raise adoption
        consumers = reshape.read_consumers(self.client, saved.consumers, self.context.executor)
        plan = saved.remaining(current, consumers, ledger)
        wanted = saved.wanted(current)
        report = Report(
            self.node, root.uuid, current, wanted, wanted, saved.changes_left(current, plan), plan
        )
        self._check_still_unused(report.changes, current, consumers, saved.moved())
        wish = Wish(wanted, before=consumers, after=consumers)
        ledger = replace(ledger, adopted=ledger.adopted or adoption is not None)
        self._carry_out(stored, ledger, report, wish, exactly=True)
        return replace(report, applied=True, requests_sent=self.client.requests_sent - self._sent_before)

    def _valid(self, stored: Ledger, root: identity.Root, current: ProviderTree) -> Ledger:
        ledger = identity.with_root(stored, root, self.context.driver_name)
        return ledger.valid_for(current, self.client.label)

    def _check_settings(self, saved: SavedPlan) -> None:
        """What may be written has been decided since the plan was made."""
        settings = self.settings
        if settings.manage == "children" and saved.writes(saved.root_uuid):
            raise StalePlan(
                "the plan writes the root, and [reporter] manage = children",
                "make a new plan with diff --out FILE",
            )
        if settings.reshape == "never" and saved.moves_allocations:
            raise StalePlan(
                "the plan moves allocations, and [reporter] reshape = never",
                "set [reporter] reshape, or make a new plan with diff --out FILE",
            )

    def _check_still_unused(
        self, changes: Changes, current: ProviderTree, consumers: Allocations, moved: Allocations
    ) -> None:
        if self.mode.force:
            return
        held = policy.in_use(changes, usages_left(self.context, changes, current, consumers, moved))
        if held:
            raise StalePlan(
                f"the plan no longer fits: {held[0].change.provider}: {held[0].why}",
                "look again with diff, or sync --plan FILE --force",
            )

    # Writing

    def _carry_out(
        self, stored: Ledger, ledger: Ledger, report: Report, wish: Wish, *, exactly: bool = False
    ) -> None:
        """Write-ahead: what we are about to own is in the ledger before the first request goes."""
        before, after = report.current, report.current
        self._take_new_name()
        on_disk = stored
        self._changes, self._root_uuid = report.changes, report.root_uuid
        if report.plan:
            moving = report.plan.consumers()
            if moving:  # what is forbidden must be refused before the requests that come before it
                self.client.check_may_reshape()
            intent = before_writing(ledger, before, report.wanted)
            if intent != on_disk:
                self.memory.ledger.save(self.state, intent)
                on_disk = intent
            if moving:
                reshape.save_before(self.state, self.node, {each: wish.before[each] for each in moving})
            progress = _told_as(self._progress, "writing")
            learnt = apply(
                self.client,
                report.plan,
                before.by_uuid(),
                self.context.executor,
                progress,
                exactly=exactly,
            )
            after = _with_generations(report.wanted, learnt)
            self.memory.snapshot = Snapshot(report.root_uuid, after)
        settled = after_cycle(ledger, before, report.wanted, after)
        if settled != on_disk:
            self.memory.ledger.save(self.state, settled)
        self._save_snapshot()
        if not exactly:  # a saved plan says nothing of the records that are not in it
            self.memory.contest.made(report.changes, report.held, stored)
            self.memory.contest.save(self.state, self.node)
        self.memory.synced = True

    @property
    def used_reshaper_for_inventories(self) -> bool:
        """The plan was to send inventories of several providers through the reshaper."""
        return self._comparison.used_reshaper_for_inventories

    def explain_duplicate(self) -> None:
        """Placement refused a name or a uuid as taken.

        :raises reporter.errors.IdentityError: a provider of another tree has it: trying again is no use
        """
        clash = identity.clash(self.client, self._changes, self._root_uuid)
        if clash is not None:
            raise clash

    def _take_new_name(self) -> None:
        """A host was renamed: were its ledger to stand under both names, the former one would mislead."""
        if self.memory.renamed_from is not None:
            self.state.rename_node(self.memory.renamed_from, self.node)
            self.memory.renamed_from = None

    def _deletes_providers(self) -> bool:
        """One that is gone may be made again and come to the generation that it has in a kept snapshot."""
        return any(each.kind is Kind.PROVIDER and each.action is Action.DELETE for each in self._changes)

    def _save_snapshot(self) -> None:
        memory = self.memory
        if memory.snapshot is not None:
            memory.keeper.keep(
                self.state,
                self.node,
                memory.snapshot,
                self.client.label,
                memory.read_at,
                at_once=not self.mode.service or self._deletes_providers(),
            )


def _told_as(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    return None if progress is None else lambda done, total: progress(what, done, total)


def _with_generations(wanted: ProviderTree, generations: dict[str, int | None]) -> ProviderTree:
    tree = wanted.copy()
    for provider in wanted.by_uuid().values():
        generation = generations.get(provider.uuid)
        if provider.generation != generation or provider.notes:
            # Where values came from is a matter of this cycle.
            tree.replace(replace(provider, generation=generation, notes={}))
    return tree
