"""Domain capabilities: what guests can have, as far as libvirt tells."""

import pytest

from drivers.errors import HostReadError
from drivers.libvirt.domain_capabilities import LaunchSecurity, Sev, Tpm, parse_domain_capabilities
from tests.drivers.libvirt.builders import launch_security, sev
from tests.drivers.libvirt.host_xml import domain_capabilities_xml, loader_xml, tpm_xml


def test_devices_of_a_guest():
    found = parse_domain_capabilities(
        domain_capabilities_xml(buses=["virtio", "sata"], video=["vga", "none"], tpm=tpm_xml())
    )
    assert (found.arch, found.machine) == ("x86_64", "pc-q35-7.2")
    assert found.disk_buses == {"virtio", "sata"}
    assert found.video_models == {"vga", "none"}
    assert found.tpm == Tpm(True, ("tpm-tis", "tpm-crb"), ("passthrough", "emulator"), ("1.2", "2.0"))


def test_a_bus_of_redirected_devices_counts_as_in_nova():
    found = parse_domain_capabilities(domain_capabilities_xml(buses=["virtio"], redirected=["usb"]))
    assert found.disk_buses == {"virtio", "usb"}


def test_an_old_libvirt_does_not_tell_versions_of_tpms():
    found = parse_domain_capabilities(domain_capabilities_xml(tpm=tpm_xml(versions=None)))
    assert found.tpm is not None
    assert found.tpm.versions is None


@pytest.mark.parametrize(("secure", "expected"), [(["yes", "no"], True), (["no"], False), ([], False)])
def test_secure_boot(secure, expected):
    found = parse_domain_capabilities(domain_capabilities_xml(loader=loader_xml(secure)))
    assert found.secure_boot is expected


def test_encrypted_memory():
    found = parse_domain_capabilities(
        domain_capabilities_xml(features=sev(15, 84) + "<tdx supported='yes'/>" + launch_security("sev-snp"))
    )
    assert found.sev == Sev(True, 15, 84)
    assert found.tdx is True
    assert found.launch_security == LaunchSecurity(True, ("sev-snp",))


def test_what_libvirt_does_not_tell_is_unknown_not_absent():
    found = parse_domain_capabilities("<domainCapabilities><arch>s390x</arch></domainCapabilities>")
    assert found.machine == ""
    assert found.disk_buses == frozenset()
    assert found.tpm is None
    assert found.sev is None
    assert found.tdx is None
    assert found.launch_security is None
    assert not found.secure_boot


@pytest.mark.parametrize(
    "text",
    [
        "<capabilities/>",
        "<!DOCTYPE x [<!ENTITY y 'z'>]><domainCapabilities>&y;</domainCapabilities>",
        domain_capabilities_xml(features="<sev supported='yes'><maxGuests>many</maxGuests></sev>"),
    ],
)
def test_what_is_no_such_document_is_refused(text):
    with pytest.raises(HostReadError, match="domainCapabilities document cannot be understood"):
        parse_domain_capabilities(text)
