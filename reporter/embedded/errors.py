"""What keeps an embedded Placement from starting."""

from __future__ import annotations

from reporter.errors import ReporterError


class EmbeddedPlacementError(ReporterError):
    """The database of an embedded Placement cannot be opened, locked, written or upgraded."""


class MissingExtra(EmbeddedPlacementError):
    """The packages of the ``embedded`` extra are not installed."""

    def __init__(self, error: ImportError) -> None:
        super().__init__(
            "an embedded Placement needs openstack-placement, which is not installed "
            f"(no module {error.name})",
            "install it with: pip install 'placement-reporter[embedded]'",
        )
