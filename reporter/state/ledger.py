"""The ledger: what we set in Placement at the last cycles, node by node. Only what stands here may be taken
back.

An entry counts only while Placement has that uuid at a generation not below the recorded one: a provider
that was deleted and made again by others starts at 0, and a ledger restored from an old backup describes a
past. One that was written for another Placement counts only where everything that we set is there as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from provider_tree.inventory import same
from reporter.errors import StateError

if TYPE_CHECKING:
    from provider_tree import Provider, ProviderTree
    from reporter.state.directory import FileIdentity, StateDirectory

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """What we set on one provider.

    :ivar generation: the provider's generation after we last wrote, or when we last looked
    :ivar created: we made the provider
    :ivar classes: resource classes that we report
    :ivar doomed: others made it, and a reshape of ours empties it and deletes it
    """

    name: str
    generation: int
    created: bool = False
    classes: frozenset[str] = frozenset()
    traits: frozenset[str] = frozenset()
    aggregates: frozenset[str] = frozenset()
    doomed: bool = False

    def __bool__(self) -> bool:
        return self.created or self.doomed or bool(self.classes or self.traits or self.aggregates)

    def is_all_in(self, provider: Provider) -> bool:
        """Whether the provider has everything that we set on it."""
        return (
            self.traits <= provider.traits
            and self.classes <= provider.inventory.keys()
            and self.aggregates <= provider.aggregates
        )

    def may_delete(self, provider: Provider) -> bool:
        """Whether the provider is ours to delete."""
        return self.created or (self.doomed and not provider.inventory)

    def merged(self, other: Entry) -> Entry:
        """Everything that either of the two says we set."""
        return replace(
            other,
            created=self.created or other.created,
            classes=self.classes | other.classes,
            traits=self.traits | other.traits,
            aggregates=self.aggregates | other.aggregates,
        )


@dataclass(frozen=True, slots=True)
class Ledger:
    """What we set for one node.

    :ivar root_uuid: the uuid of the node's root provider, once known; kept for ever
    :ivar adopted: the operator gave us a root that we did not make
    :ivar entries: provider uuid → what we set on it
    :ivar driver: name of the driver that reported the node last
    :ivar placement: label of the Placement that it was written for; empty where that is not known
    """

    node: str
    root_uuid: str | None = None
    adopted: bool = False
    entries: Mapping[str, Entry] = field(default_factory=dict)
    driver: str = ""
    placement: str = ""

    def valid_for(self, current: ProviderTree, placement: str) -> Ledger:
        """The ledger without the entries that Placement contradicts.

        Another Placement may have providers of the same uuids, since hosts and documents tell them: there, or
        where it goes by another URL now, an entry counts if all that it says we set is there.
        """
        providers = current.by_uuid()
        elsewhere = not self.is_of(placement)
        kept = {
            uuid: entry
            for uuid, entry in self.entries.items()
            if uuid in providers
            and (providers[uuid].generation or 0) >= entry.generation
            and not (elsewhere and not entry.is_all_in(providers[uuid]))
        }
        if len(kept) == len(self.entries) and placement == self.placement:
            return self
        adopted = self.adopted and not (elsewhere and self.root_uuid in self.entries.keys() - kept.keys())
        return replace(self, entries=kept, placement=placement, adopted=adopted)

    def is_of(self, placement: str) -> bool:
        """Whether it was written for that Placement, as far as is known."""
        return self.placement in ("", placement)

    def entry(self, uuid: str) -> Entry | None:
        """What we set on that provider; None if nothing."""
        return self.entries.get(uuid)

    def has_class(self, uuid: str, resource_class: str) -> bool:
        """Whether we report that class on that provider."""
        entry = self.entries.get(uuid)
        return entry is not None and resource_class in entry.classes

    def owns_root(self) -> bool:
        """Whether the root is ours to write: made by us, or adopted."""
        if self.root_uuid is None:
            return False
        entry = self.entries.get(self.root_uuid)
        return self.adopted or (entry is not None and entry.created)


def load_ledger(state: StateDirectory, node: str) -> Ledger:
    """The node's ledger; an empty one if there is none.

    :raises reporter.errors.StateError: unreadable or malformed
    """
    file = state.node_file(node, "ledger")
    document = state.read(file)
    if document is None:
        return Ledger(node)
    if document.get("format_version") != FORMAT_VERSION:
        raise StateError(
            f"{file} has format version {document.get('format_version')}, not {FORMAT_VERSION}",
            "it was written by another release of placement-reporter: run that one",
        )
    try:
        # What counts is the name of the file: that of a host that was renamed has another in it.
        return replace(_from_document(document), node=node)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise StateError(
            f"{file} is not a ledger: {error!r}",
            "restore it from a backup, or delete it and adopt the node again",
        ) from error


def save_ledger(state: StateDirectory, ledger: Ledger) -> None:
    """Write the ledger whole."""
    state.write(state.node_file(ledger.node, "ledger"), _to_document(ledger))


def former_name(state: StateDirectory, node: str, uuid: str | None, alone: str | None) -> str | None:
    """Under which name a node that has no ledger was reported before; None if it is new.

    :param uuid: of the node, where the host tells
    :param alone: name of the driver if it has this one node: the only node that the directory knows must be
        it then, unless another driver reported that one
    """
    others = [each for each in state.nodes() if each != node]
    if uuid is not None:
        return next((each for each in others if load_ledger(state, each).root_uuid == uuid), None)
    if alone is None or len(others) != 1 or load_ledger(state, others[0]).driver != alone:
        return None
    return others[0]


class LedgerCache:
    """The ledger of a node, read again only when its file has changed."""

    def __init__(self) -> None:
        self._seen: tuple[FileIdentity, Ledger] | None = None

    def load(self, state: StateDirectory, node: str) -> Ledger:
        """See ``load_ledger``."""
        identity = state.identity(state.node_file(node, "ledger"))
        if self._seen is None or identity is None or self._seen[0] != identity:
            ledger = load_ledger(state, node)
            if identity is None:
                return ledger
            self._seen = (identity, ledger)
        return self._seen[1]

    def save(self, state: StateDirectory, ledger: Ledger) -> None:
        """See ``save_ledger``."""
        save_ledger(state, ledger)
        identity = state.identity(state.node_file(ledger.node, "ledger"))
        self._seen = None if identity is None else (identity, ledger)


def after_cycle(ledger: Ledger, before: ProviderTree, wanted: ProviderTree, after: ProviderTree) -> Ledger:
    """The ledger once ``wanted`` is in Placement.

    What was there before us stays others', even where we want it too; what we brought or changed is ours.

    :param ledger: valid for ``before``
    :param after: ``wanted`` with the generations that Placement has now
    """
    entries: dict[str, Entry] = {}
    had_by_uuid, now_by_uuid = before.by_uuid(), after.by_uuid()
    for uuid, provider in wanted.by_uuid().items():
        old, had = ledger.entry(uuid), had_by_uuid.get(uuid)
        if provider is had and (old is None or (old.is_all_in(provider) and not old.doomed)):
            entry = old
        else:
            entry = _entry_after(old, had, provider, now_by_uuid[uuid].generation)
        if entry:
            entries[uuid] = entry
    return replace(ledger, entries=entries)


def before_writing(ledger: Ledger, before: ProviderTree, wanted: ProviderTree) -> Ledger:
    """The ledger to have on disk before the first request goes: all we own, and all we are about to.

    Were we to crash half-way, the next cycle would know everything that may have become ours.
    """
    settled = after_cycle(ledger, before, wanted, wanted)
    entries = dict(ledger.entries)
    for uuid, entry in settled.entries.items():
        old = entries.get(uuid)
        if old is not entry:
            entries[uuid] = entry if old is None else replace(old.merged(entry), generation=old.generation)
    for uuid in before.by_uuid().keys() - wanted.by_uuid().keys():
        provider, old = before.provider(uuid), entries.get(uuid)
        if old is None or not old.created:
            entries[uuid] = replace(old or Entry(provider.name, provider.generation or 0), doomed=True)
    return replace(ledger, entries=entries)


def _entry_after(old: Entry | None, had: Provider | None, wanted: Provider, generation: int | None) -> Entry:
    ours = old or Entry(wanted.name, 0)
    inventory = had.inventory if had else {}
    traits = had.traits if had else frozenset()
    aggregates = had.aggregates if had else frozenset()
    brought = {
        name
        for name, record in wanted.inventory.items()
        if name not in inventory or not same(inventory[name], record)
    }
    if generation is None:  # not told: what was recorded still is a lower bound
        generation = (had.generation if had else None) or ours.generation
    return Entry(
        name=wanted.name,
        generation=generation,
        created=ours.created or had is None,
        classes=(ours.classes & wanted.inventory.keys()) | brought,
        traits=(ours.traits & wanted.traits) | (wanted.traits - traits),
        aggregates=(ours.aggregates & wanted.aggregates) | (wanted.aggregates - aggregates),
    )


def _to_document(ledger: Ledger) -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "node": ledger.node,
        "root_uuid": ledger.root_uuid,
        "driver": ledger.driver,
        "placement": ledger.placement,
        "adopted": ledger.adopted,
        "providers": {
            uuid: {
                "name": entry.name,
                "generation": entry.generation,
                "created": entry.created,
                "doomed": entry.doomed,
                "classes": sorted(entry.classes),
                "traits": sorted(entry.traits),
                "aggregates": sorted(entry.aggregates),
            }
            for uuid, entry in ledger.entries.items()
        },
    }


def _from_document(document: Mapping[str, Any]) -> Ledger:
    return Ledger(
        node=document["node"],
        root_uuid=document["root_uuid"],
        driver=document.get("driver", ""),
        placement=document.get("placement", ""),
        adopted=bool(document["adopted"]),
        entries={
            uuid: Entry(
                name=each["name"],
                generation=int(each["generation"]),
                created=bool(each["created"]),
                doomed=bool(each.get("doomed")),
                classes=frozenset(each["classes"]),
                traits=frozenset(each["traits"]),
                aggregates=frozenset(each["aggregates"]),
            )
            for uuid, each in document["providers"].items()
        },
    )
