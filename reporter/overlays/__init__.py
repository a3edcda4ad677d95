"""What is put over a driver's tree, whatever the driver."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from oslo_config import cfg

if TYPE_CHECKING:
    from reporter.overlays.provider_config import ProviderConfigOverlay

__all__ = ["OPTIONS", "load_overlays"]

OPTIONS: Mapping[str, Sequence[cfg.Opt]] = {
    "compute": (
        cfg.StrOpt(
            "provider_config_location",
            default="/etc/nova/provider_config/",
            help="A directory whose *.yaml files, in Nova's provider.yaml format, add inventories and traits "
            "to providers. They are read again when they change.",
        ),
    )
}


def load_overlays(conf: cfg.ConfigOpts) -> tuple[ProviderConfigOverlay, ...]:
    """The overlays of a configuration, in the order in which they are applied.

    :raises reporter.errors.ConfigurationError: a file of theirs cannot be used
    """
    from reporter.overlays.provider_config import ProviderConfigOverlay  # noqa: PLC0415 - needs PyYAML

    return (ProviderConfigOverlay(conf),)
