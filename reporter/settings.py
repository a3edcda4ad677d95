"""How a Reporter works, as a value: what ``[reporter]`` of the configuration says, or what a program passes
in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from oslo_config.cfg import ConfigOpts


Manage = Literal["tree", "children"]


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of ``[reporter]`` that a cycle needs, with their defaults.

    :ivar owner_trait: set on providers that we make; empty for none
    :ivar manage: ``tree``: the root is ours; ``children``: nova-compute owns the root, ours are providers
        below
    :ivar reshape: when allocations may be moved
    :ivar atomic: ``auto``: inventories of several providers go out in one ``POST /reshaper`` where the role
        allows
    :ivar max_shrink_percent: in the service, a class that shrinks by more is held for some cycles
    :ivar connections: requests at once
    :ivar full_refresh_interval: seconds after which everything is read again although no generation moved
    :ivar interval: seconds between two cycles of the service
    """

    owner_trait: str = "CUSTOM_OWNER_PLACEMENT_REPORTER"
    manage: Manage = "tree"
    reshape: Literal["always", "startup", "never"] = "always"
    atomic: Literal["auto", "off"] = "auto"
    max_shrink_percent: float = 50.0
    connections: int = 4
    full_refresh_interval: float = 3600.0
    interval: float = 60.0

    @classmethod
    def from_conf(cls, conf: ConfigOpts) -> Settings:
        """The settings of ``[reporter]``."""
        group = conf.reporter
        return cls(**{name: getattr(group, name) for name in cls.__slots__})
