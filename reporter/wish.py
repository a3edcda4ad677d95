"""Asking the driver: what it wants Placement to have for a node, and which allocations it moves for that."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from drivers.errors import ReshapeFailed, ReshapeNeeded
from reporter import reshape
from reporter.placement.usages import providers_in_use
from reporter.view import driver_view, hides_classes

if TYPE_CHECKING:
    from drivers.base import Allocations, ComputeDriver
    from provider_tree import Provider, ProviderTree
    from reporter.identity import Root
    from reporter.placement.client import PlacementClient
    from reporter.state.ledger import Entry, Ledger
    from reporter.view import ViewCache


class Overlay(Protocol):
    """Something merged over the tree of whatever driver there is."""

    def names(self, provider: Provider) -> bool:
        """Whether it may add something to that provider."""

    def prepare(self, provider_tree: ProviderTree, nodename: str) -> None:
        """Edit Placement's tree before the driver gets it: take out what ``apply`` is to add again."""

    def apply(self, provider_tree: ProviderTree, nodename: str) -> list[str]:
        """Edit the tree in place.

        :return: warnings for people
        """


@dataclass(frozen=True, slots=True)
class Wish:
    """What a driver and the overlays want.

    :ivar reshaped: the driver asked for a reshape
    :ivar before: consumers that the driver moves, as they are; ``after``, as they are to be
    :ivar usages: with a reshape: provider uuid → class → amount in use now, of all providers in use
    """

    tree: ProviderTree
    warnings: tuple[str, ...] = ()
    reshaped: bool = False
    before: Allocations = field(default_factory=dict)
    after: Allocations = field(default_factory=dict)
    usages: dict[str, dict[str, int]] = field(default_factory=dict)

    def moved_from(self) -> frozenset[tuple[str, str]]:
        """(Provider uuid, class) pairs from which the reshape takes amounts away."""
        return _lost(self.before, self.after)

    def moved_places(self) -> frozenset[tuple[str, str]]:
        """(Provider uuid, class) pairs of which the reshape changes how much is allocated."""
        return _lost(self.before, self.after) | _lost(self.after, self.before)


def _lost(before: Allocations, after: Allocations) -> frozenset[tuple[str, str]]:
    return frozenset(
        place
        for consumer, allocation in before.items()
        for place, amount in reshape.resources_of(allocation).items()
        if reshape.resources_of(after[consumer]).get(place, 0) < amount
    )


def ask(
    driver: ComputeDriver,
    root: Root,
    current: ProviderTree,
    ledger: Ledger,
    overlays: Sequence[Overlay],
    client: PlacementClient,
    executor: Executor,
    views: ViewCache,
) -> Wish:
    """Run the driver on Placement's tree; a second time, with the allocations, if it must reshape.

    :raises drivers.errors.DriverError: the driver cannot tell
    """
    driver.note_ownership(root.node, ledger.has_class)
    vocabulary = driver.vocabulary
    given = _fresh(root, overlays, driver_view(current, ledger, views, vocabulary=vocabulary))
    tree = given.copy()
    try:
        try:
            driver.update_provider_tree(tree, root.node)
        except ReshapeNeeded:
            if not hides_classes(current, ledger, vocabulary):
                raise
            given = _fresh(root, overlays, driver_view(current, ledger, all_classes=True))
            tree = given.copy()
            driver.update_provider_tree(tree, root.node)
    except ReshapeNeeded:
        return _reshape(driver, root, current, ledger, overlays, client, executor)
    _put_back(tree, given, ledger, overlays)
    return Wish(tree, _overlay(tree, root, overlays))


def _reshape(
    driver: ComputeDriver,
    root: Root,
    current: ProviderTree,
    ledger: Ledger,
    overlays: Sequence[Overlay],
    client: PlacementClient,
    executor: Executor,
) -> Wish:
    # What comes into use from now on moves generations: then Placement refuses the reshape.
    in_use = providers_in_use(client, current)
    before = reshape.for_driver(reshape.read_allocations(client, in_use, executor))
    after = {consumer: _copied(each) for consumer, each in before.items()}
    given = _fresh(root, overlays, driver_view(current, ledger, all_classes=True))
    tree = given.copy()
    try:
        driver.update_provider_tree(tree, root.node, after)
    except ReshapeNeeded as error:
        raise ReshapeFailed(
            f"{root.node}: the driver asks for a reshape although it was given the allocations: {error.what}",
            "this is a defect of the driver",
        ) from error
    moved = reshape.moved(before, after)
    _put_back(tree, given, ledger, overlays, {uuid for uuid, _ in _lost(before, after)})
    usages: dict[str, dict[str, int]] = {}
    for allocation in before.values():
        for (uuid, resource_class), amount in reshape.resources_of(allocation).items():
            used = usages.setdefault(uuid, {})
            used[resource_class] = used.get(resource_class, 0) + amount
    return Wish(
        tree,
        _overlay(tree, root, overlays),
        reshaped=True,
        before={consumer: before[consumer] for consumer in moved},
        after=moved,
        usages=usages,
    )


def _fresh(root: Root, overlays: Sequence[Overlay], tree: ProviderTree) -> ProviderTree:
    """What a driver gets: its view of Placement's tree, with a root called as the node."""
    if root.uuid not in tree:
        tree.new_root(root.node, root.uuid)
    elif tree.provider(root.uuid).name != root.node:
        tree.rename(root.uuid, root.node)
    for overlay in overlays:
        overlay.prepare(tree, root.node)
    return tree


def _put_back(
    tree: ProviderTree,
    given: ProviderTree,
    ledger: Ledger,
    overlays: Sequence[Overlay],
    emptied: Collection[str] = (),
) -> None:
    """Put those of others' providers back that a driver has dropped, as it may, and that an overlay names.

    :param emptied: uuids of providers from which allocations move: those may go with them
    """

    def is_others(provider: Provider) -> bool:
        entry = ledger.entry(provider.uuid)
        return provider.uuid not in emptied and not (entry is not None and entry.may_delete(provider))

    for uuid in given.by_uuid().keys() - tree.by_uuid().keys():
        provider = given.provider(uuid)
        if any(overlay.names(provider) for overlay in overlays):
            missing = _missing_branch(provider, given, tree)
            if all(is_others(each) and each.name not in tree for each in missing):
                for each in missing:
                    _put(tree, each, ledger.entry(each.uuid))


def _missing_branch(provider: Provider, given: ProviderTree, tree: ProviderTree) -> list[Provider]:
    """The provider and those above it that are not in ``tree``, top-down."""
    missing: list[Provider] = []
    above: Provider | None = provider
    while above is not None and above.uuid not in tree:
        missing.insert(0, above)
        above = given.provider(above.parent_uuid) if above.parent_uuid else None
    return missing


def _put(tree: ProviderTree, provider: Provider, entry: Entry | None) -> None:
    """Add a provider without the classes that are ours: an overlay that still wants them adds them anew."""
    ours = entry.classes if entry is not None else frozenset()
    inventory = {name: record for name, record in provider.inventory.items() if name not in ours}
    if provider.parent_uuid is not None:
        tree.add(replace(provider, inventory=inventory))


def _overlay(tree: ProviderTree, root: Root, overlays: Sequence[Overlay]) -> tuple[str, ...]:
    return tuple(warning for overlay in overlays for warning in overlay.apply(tree, root.node))


def _copied(allocation: dict[str, object]) -> dict[str, object]:
    allocations = allocation["allocations"]
    assert isinstance(allocations, dict)
    return {
        **allocation,
        "allocations": {uuid: {"resources": dict(each["resources"])} for uuid, each in allocations.items()},
    }
