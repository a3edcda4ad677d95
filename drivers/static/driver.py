"""Reports the provider trees that documents describe; each root is a node."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from oslo_config import cfg

from drivers.base import Allocations, ComputeDriver, Vocabulary
from drivers.errors import DriverError, DriverOptionError, ReshapeNeeded
from drivers.reshape_rules import ReshapeRules
from drivers.static.documents import Documents, load_documents
from drivers.static.files import Listing, list_files
from drivers.static.moves import find_leaving, move
from drivers.static.shape import reshape_tree, wanted_providers

if TYPE_CHECKING:
    from provider_tree.tree import ProviderTree

LOG = logging.getLogger(__name__)

_GROUP: tuple[cfg.Opt, ...] = (
    cfg.StrOpt(
        "path",
        help="The document that describes the providers, or a directory of them (*.yaml, *.yml, *.json).",
    ),
    cfg.IntOpt(
        "max_size",
        default=64 * 1024 * 1024,
        min=1,
        help="The largest document that is read, in bytes.",
    ),
)


class StaticDriver(ComputeDriver):
    """Makes each node's tree exactly what its document says. Reads the documents again when they change."""

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {"static": _GROUP}

    def __init__(self, conf: cfg.ConfigOpts, virtapi: object | None = None) -> None:
        super().__init__(conf, virtapi)
        self._listing: Listing | None = None
        self._documents: Documents | None = None
        self._is_ours: dict[str, Callable[[str, str], bool]] = {}

    def init_host(self, host: str) -> None:
        """Read the documents, so that a mistake shows at once. Errors as :meth:`get_available_nodes`."""
        self._read()

    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        """Return the names of the roots.

        :raises provider_tree.errors.InvalidTree: a document is wrong
        :raises DriverOptionError: ``[static] path`` is unset, or there is nothing
        :raises HostReadError: a document cannot be read
        """
        documents = self._read() if refresh else self._known()
        return sorted(root.name for root in documents.tree.roots)

    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        """Return the nodes whose documents name a uuid; the others have that of their name in Placement."""
        documents = self._read() if refresh else self._known()
        return {root.uuid: root.name for root in documents.tree.roots if root.uuid in documents.named_uuids}

    def new_node_uuid(self, nodename: str) -> str | None:
        """Return the uuid that is made of the name, the same in every run, unless the document names one."""
        tree = self._known().tree
        return tree.provider(nodename).uuid if nodename in tree else None

    @property
    def vocabulary(self) -> Vocabulary:
        """Return nothing: what a document may hold has no bounds, so only what it held is the reporter's."""
        return Vocabulary()

    @property
    def reshape_rules(self) -> ReshapeRules:
        """Return the changes of class that the documents ask for."""
        rules = self._documents.rules if self._documents else ()
        return ReshapeRules(
            class_changes=frozenset(
                (rule.resource_class, rule.to_class) for rule in rules if rule.to_class != rule.resource_class
            )
        )

    def note_ownership(self, nodename: str, is_ours: Callable[[str, str], bool]) -> None:
        """Remember it: what a document does not name need not be of an earlier version of the document."""
        self._is_ours[nodename] = is_ours

    def update_provider_tree(
        self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None = None
    ) -> None:
        """Make the node's tree exactly what the document says; providers that it does not name go.

        A class that the document takes from one provider and gives to another takes its allocations along.

        :raises ReshapeNeeded: that is so, and there are no ``allocations`` to move
        :raises ReshapeFailed: the document does not say where consumers go
        :raises DriverError: there is no such node, or Placement knows its providers otherwise
        """
        documents = self._read()
        if nodename not in {root.name for root in documents.tree.roots}:
            raise DriverError(
                f"no document has a root provider {nodename}",
                f"give one in {self.conf.static.path}, or forget the node",
            )
        wanted = wanted_providers(provider_tree, nodename, documents.tree, documents.named_uuids)
        had = provider_tree.by_uuid()
        current = [had[uuid] for uuid in provider_tree.get_provider_uuids(nodename)]
        leaving = find_leaving(current, wanted, documents.rules, self._is_ours.get(nodename))
        if leaving and allocations is None:
            raise ReshapeNeeded(f"{nodename}: {'; '.join(map(str, leaving))}")
        for each in leaving:
            move(each, allocations or {})
        reshape_tree(provider_tree, nodename, wanted)

    def _known(self) -> Documents:
        return self._read() if self._documents is None else self._documents

    def _read(self) -> Documents:
        """Return the documents, read again if a file has changed, come or gone."""
        path = self.conf.static.path
        if not path:
            raise DriverOptionError(
                "[static] path is not set", "name a document, or a directory of documents"
            )
        listing = list_files(Path(path))
        if self._documents is None or self._listing is None or not listing.same_as(self._listing):
            files = [each.path for each in listing.signatures]
            self._documents = load_documents(files, self.conf.static.max_size)
            LOG.debug("Read %d providers from %s", len(self._documents.tree), path)
        self._listing = listing
        return self._documents
