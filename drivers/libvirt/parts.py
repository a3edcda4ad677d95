"""The seam to what adds to the root provider or hangs child providers below it.

The driver has a list of parts, each built as ``Part(conf, hypervisor)``, and in every cycle calls, in this
order:

1. ``before`` of each part, with the tree as Placement has it;
2. sets the root's own inventory (VCPU, PCPU, MEMORY_MB, DISK_GB; other classes of the root stay as they
   are), traits;
3. ``update`` of each part. What a part no longer wants, classes of its own on the root included, it removes
   itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

from drivers.base import Allocations, Vocabulary
from drivers.reshape_rules import ReshapeRules

if TYPE_CHECKING:
    from oslo_config import cfg

    from drivers.libvirt.hypervisor import Hypervisor
    from provider_tree.tree import ProviderTree


OWNER: Final = "OWNER_NOVA"
"""The trait on every provider that Nova 34 reports; its scheduler asks for it."""


class Part:
    """What every part derives from.

    :param conf: the configuration, with :attr:`options` registered
    :param hypervisor: the host: ``.connection`` for reading calls, ``.root`` for files, and what is kept of
        capabilities
    """

    options: ClassVar[Mapping[str, Sequence[cfg.Opt]]] = {}
    """Group → the options that this part adds."""

    vocabulary: Vocabulary = Vocabulary()
    """What the part may set and unset."""

    def __init__(self, conf: cfg.ConfigOpts, hypervisor: Hypervisor) -> None:
        self.conf = conf
        self.hypervisor = hypervisor

    def check(self) -> None:
        """Refuse a configuration that cannot work; called once, before the first cycle.

        :raises DriverOptionError: names the option and what it expects
        """

    def note_ownership(self, is_ours: Callable[[str, str], bool]) -> None:
        """See :meth:`drivers.base.ComputeDriver.note_ownership`."""

    def before(self, provider_tree: ProviderTree, nodename: str) -> None:
        """Look at the tree as Placement has it, before the driver changes the root."""

    def update(self, provider_tree: ProviderTree, nodename: str, allocations: Allocations | None) -> None:
        """Bring the part's providers, classes and traits up to date.

        :raises ReshapeNeeded: inventory in use must move, and ``allocations`` is None
        """

    @property
    def reshape_rules(self) -> ReshapeRules:
        """Return which amounts a reshape of this part may change."""
        return ReshapeRules()

    def resources(self) -> Mapping[str, Any]:
        """Return what the part adds to get_available_resource."""
        return {}

    def capabilities(self) -> Mapping[str, bool]:
        """Return what the part knows of the driver's capabilities, as of its last ``update``."""
        return {}


def merged_options(
    own: Mapping[str, Sequence[cfg.Opt]], parts: Iterable[type[Part]]
) -> dict[str, tuple[cfg.Opt, ...]]:
    """Return the driver's options with those of its parts, by group."""
    merged: dict[str, tuple[cfg.Opt, ...]] = {group: tuple(options) for group, options in own.items()}
    for part in parts:
        for group, options in part.options.items():
            merged[group] = (*merged.get(group, ()), *options)
    return merged
