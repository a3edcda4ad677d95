"""The guests' XML, read and parsed; a guest whose description did not change is not parsed again."""

from __future__ import annotations

from functools import lru_cache

from drivers.libvirt.connection import Connection
from drivers.libvirt.domain_xml import GuestUse, parse_domain

# More than guests on a host: one text each is kept.
_parse = lru_cache(maxsize=512)(parse_domain)


def read_guests(connection: Connection) -> tuple[GuestUse, ...]:
    """Return what each guest, running or not, has of the host, in the order of their uuids.

    :raises HostReadError: libvirt does not answer, or not as documented
    """
    return tuple(_parse(text) for _, text in sorted(connection.domain_xmls().items()))
