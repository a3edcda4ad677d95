"""Nova's provider.yaml files: custom inventories and traits that the operator adds to providers.

The format is that of Nova's ``[compute] provider_config_location`` (schema 1.x; see "Managing Resource
Providers Using Config Files" in Nova's administrator guide), and so are acceptance and refusals. Beyond Nova:

- the files are read again when they change; a bad new version leaves the last good one at work;
- what leaves a file leaves Placement, because the ledger knows that it was ours;
- a class stays on a provider that the driver does not write, in every cycle, and no other class of that
  provider is touched.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reporter.errors import ConfigurationError
from reporter.overlays.provider_config.files import ProviderFiles, Signature, is_file
from reporter.overlays.provider_config.merging import Addition, resolve, strip

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts

    from provider_tree import Provider, ProviderTree

__all__ = ["ProviderConfigOverlay"]


class ProviderConfigOverlay:
    """The files of one configuration, merged over the tree of each node in each cycle.

    :raises ConfigurationError: a file cannot be used, and there is no earlier version of it
    """

    def __init__(self, conf: ConfigOpts) -> None:
        self._directory = Path(conf.compute.provider_config_location)
        self._files = ProviderFiles()
        self._good: ProviderFiles | None = None
        self._seen: Signature | None = None
        self._broken: ConfigurationError | None = None
        self._found: dict[str, set[str]] = {}
        self._absent: set[tuple[str, str]] = set()
        self._refresh()

    def names(self, provider: Provider) -> bool:
        """Whether a file names the provider, by uuid or by name."""
        configs = self._files.configs if self._good is None else (*self._files.configs, *self._good.configs)
        return any(each.lookup in (provider.uuid, provider.name) for each in configs)

    def prepare(self, provider_tree: ProviderTree, nodename: str) -> None:  # noqa: ARG002 - as apply
        """Take the classes that the files name out of a tree that came from Placement.

        Called before the driver gets the tree: a class that is there afterwards is the driver's own.
        """
        self._refresh()
        for files in {id(each): each for each in (self._files, self._good) if each is not None}.values():
            strip(provider_tree, files.configs)

    def apply(self, provider_tree: ProviderTree, nodename: str) -> list[str]:
        """Add what the files say to the tree, after the driver.

        :return: what the operator should know of
        :raises ConfigurationError: the files contradict the driver or each other, and did so from the start
        """
        self._refresh()
        warnings = list(self._files.warnings)
        if is_file(self._directory):
            option = f"[compute] provider_config_location = {self._directory}"
            warnings.append(f"{option} is a file: name its directory; nothing is read")
        if self._broken is not None:
            warnings.append(f"{self._broken}: the last good version stays at work")
        try:
            additions, absent = resolve(provider_tree, self._files.configs)
        except ConfigurationError as error:
            if self._good is None or self._good is self._files:
                raise
            warnings.append(f"{error}: the last good version stays at work")
            additions, absent = resolve(provider_tree, self._good.configs)
        else:
            self._good = self._files
        for addition in additions:
            _add(provider_tree, addition)
        return warnings + self._absences(nodename, {each.key for each in self._files.configs}, absent)

    def _refresh(self) -> None:
        """Read the files again where one has changed, come or gone."""
        try:
            signature = ProviderFiles.signature(self._directory)
            if signature == self._seen:
                return
            files = ProviderFiles.read(signature)
        except ConfigurationError as error:
            if self._seen is None:
                raise
            self._broken = error
            return
        self._files, self._seen, self._broken = files, signature, None

    def _absences(self, nodename: str, named: set[str], absent: dict[str, Path]) -> list[str]:
        """Providers that no tree has, each told once until it has been there."""
        for key in named - absent.keys():
            self._found.setdefault(key, set()).add(nodename)
            self._absent.discard((key, nodename))
        news = []
        for key, path in absent.items():
            nodes = self._found.get(key, set())
            if (key, nodename) in self._absent or nodes - {nodename}:
                continue
            self._absent.add((key, nodename))
            nodes.discard(nodename)
            news.append(f"{path}: the tree of {nodename} has no provider {key}: ignored there")
        return news


def _add(tree: ProviderTree, addition: Addition) -> None:
    if addition.inventory is not None:
        tree.update_inventory(addition.uuid, addition.inventory)
    tree.add_traits(addition.uuid, *addition.traits)
    for field, source in addition.notes.items():
        tree.note(addition.uuid, field, source)
