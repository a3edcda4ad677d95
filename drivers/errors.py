"""The exceptions of the driver contract.

ExplainedError
└── DriverError
    ├── UnknownDriver      no driver of that name
    ├── DriverNotLoadable  a driver is there but cannot be imported: an extra is missing, or it is broken
    ├── DriverOptionError  an option of the driver's is wrong
    ├── Absent             a file of the host is not there (also a FileNotFoundError)
    ├── HostReadError      a file or a daemon of the host is there but cannot be read, or not be understood
    ├── ReshapeNeeded      the driver must move inventory that has allocations (seed: ReshapeNeeded)
    └── ReshapeFailed      the reshape cannot be done (seed: ReshapeFailed)
"""

from __future__ import annotations

from provider_tree.errors import ExplainedError


class DriverError(ExplainedError):
    """Any error of a driver."""


class UnknownDriver(DriverError):
    """No driver of that name is built in or installed."""


class DriverNotLoadable(DriverError):
    """A driver of that name exists, but importing it fails; the advice says what to install."""


class DriverOptionError(DriverError):
    """An option has a value that the driver cannot use; the message names it as [group] option."""


class Absent(DriverError, FileNotFoundError):
    """Something of the host is not there. Whether that is an error is for the one who asked to decide."""


class HostReadError(DriverError):
    """Something of the host is there but could not be read, or not be understood."""


class ReshapeNeeded(DriverError):
    """Inventory with allocations must move between providers; call again with ``allocations``."""

    def __init__(self, what: str = "the provider tree must be reshaped", advice: str = "") -> None:
        super().__init__(what, advice)


class ReshapeFailed(DriverError):
    """The allocations cannot be moved as the driver would have to."""
