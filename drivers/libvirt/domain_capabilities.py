"""The domain capabilities document: what a guest of one architecture and machine type can have.

https://libvirt.org/formatdomaincaps.html; virsh domcapabilities
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from drivers.libvirt.xmltext import number, parse_xml, values

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's

_DOCUMENT = "domainCapabilities"


@dataclass(frozen=True, slots=True)
class Tpm:
    """The TPM devices that a guest can have.

    :param models: e.g. ``tpm-tis``, ``tpm-crb``
    :param backends: e.g. ``passthrough``, ``emulator``
    :param versions: what the emulator can be, e.g. ``2.0``; None where libvirt (before 8.6) does not tell
    """

    supported: bool
    models: tuple[str, ...]
    backends: tuple[str, ...]
    versions: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Sev:
    """AMD SEV: how many guests at once, plain and with encrypted state; None where libvirt does not tell."""

    supported: bool
    max_guests: int | None
    max_es_guests: int | None


@dataclass(frozen=True, slots=True)
class LaunchSecurity:
    """Which kinds of launch security guests can have (``sev``, ``sev-snp``, …), libvirt 10.5 and later."""

    supported: bool
    sectypes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DomainCapabilities:
    """What a guest can have. Elements that the document lacks are None or empty.

    :param machine: the machine type's full name, e.g. ``pc-i440fx-7.2``; empty where libvirt does not tell
    :param disk_buses: of disks, and of everything else that is plugged to a bus (redirected USB devices)
    :param secure_boot: a firmware with secure boot can be enforced
    :param tdx: Intel TDX; None where libvirt does not know of it
    """

    arch: str
    machine: str
    disk_buses: frozenset[str]
    video_models: frozenset[str]
    tpm: Tpm | None
    secure_boot: bool
    sev: Sev | None
    tdx: bool | None
    launch_security: LaunchSecurity | None


def parse_domain_capabilities(text: str) -> DomainCapabilities:
    """Return what a domain capabilities document says.

    :raises HostReadError: it is no XML, or not as documented
    """
    root = parse_xml(text, _DOCUMENT)
    tdx = root.find("features/tdx")
    return DomainCapabilities(
        arch=root.findtext("arch", ""),
        machine=root.findtext("machine", ""),
        disk_buses=_everywhere(root, "bus"),
        video_models=_everywhere(root, "modelType"),
        tpm=_tpm(root.find("devices/tpm")),
        secure_boot="yes" in values(root.find("os/loader"), "secure"),
        sev=_sev(root.find("features/sev")),
        tdx=None if tdx is None else _supported(tdx),
        launch_security=_launch_security(root.find("features/launchSecurity")),
    )


def _everywhere(root: Element, enum: str) -> frozenset[str]:
    """Return the values of all enums of that name.

    Nova looks for them in the whole document, not below its device alone, so redirected USB makes a USB bus.
    """
    return frozenset(value for parent in root.iter() for value in values(parent, enum))


def _supported(element: Element) -> bool:
    return element.get("supported") == "yes"


def _tpm(element: Element | None) -> Tpm | None:
    if element is None:
        return None
    return Tpm(
        supported=_supported(element),
        models=values(element, "model"),
        backends=values(element, "backendModel"),
        versions=values(element, "backendVersion") or None,
    )


def _sev(element: Element | None) -> Sev | None:
    if element is None:
        return None
    return Sev(_supported(element), _count(element, "maxGuests"), _count(element, "maxESGuests"))


def _count(element: Element, tag: str) -> int | None:
    text = element.findtext(tag)
    return None if text is None else number(text, f"<{tag}>", _DOCUMENT)


def _launch_security(element: Element | None) -> LaunchSecurity | None:
    if element is None:
        return None
    return LaunchSecurity(_supported(element), values(element, "sectype"))
