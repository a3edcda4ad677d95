"""What can go wrong between us and libvirt.

HostReadError
└── LibvirtError             any of them
    ├── LibvirtUnreachable   no connection: the daemon is down, or refuses us
    ├── LibvirtStuck         it did not answer in time
    └── LibvirtCallFailed    it answered, with an error
        ├── NotSupported     this hypervisor's driver of libvirt does not have the call
        ├── NotPossible      what was asked for cannot be: another virt type, another machine type
        └── NotThere         no such domain or device (any more)
"""

from __future__ import annotations

from drivers.errors import HostReadError


class LibvirtError(HostReadError):
    """Something between us and libvirt went wrong."""


class LibvirtUnreachable(LibvirtError):
    """There is no connection to libvirt, and none can be had."""


class LibvirtStuck(LibvirtError):
    """Libvirt did not answer within the time limit."""


class LibvirtCallFailed(LibvirtError):
    """Libvirt answered with an error.

    :param code: libvirt's error number, VIR_ERR_* in its virterror.h
    """

    def __init__(self, what: str, advice: str = "", code: int = 0) -> None:
        super().__init__(what, advice)
        self.code = code


class NotSupported(LibvirtCallFailed):
    """The hypervisor's driver inside libvirt does not implement the call."""


class NotPossible(LibvirtCallFailed):
    """An argument names what the hypervisor does not have; asking again will not help."""


class NotThere(LibvirtCallFailed):
    """The domain or device asked for does not exist, or no longer."""
