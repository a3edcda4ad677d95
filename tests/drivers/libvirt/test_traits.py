"""Traits of the root provider: what hosts of all kinds can give to guests."""

import pytest

from drivers.errors import DriverOptionError
from drivers.libvirt.abilities import AbilitySettings, abilities, configured_abilities, versioned_abilities
from drivers.libvirt.cpu_traits import CpuMode, cpu_traits, feature_traits, guest_features, parse_flag
from drivers.libvirt.device_traits import device_traits
from drivers.libvirt.domain_capabilities import Tpm
from drivers.libvirt.firmware import TpmSettings, check_tpm, has_secure_boot, tpm_of, tpm_traits
from drivers.libvirt.records import Versions, version_number
from tests.drivers.libvirt.host_xml import (
    Cell,
    capabilities_xml,
    domain_capabilities_xml,
    guest_xml,
    loader_xml,
    tpm_xml,
)
from tests.drivers.libvirt.made_up import X86_GUESTS, MadeUpLibvirt, hypervisor_of

MODELS = {"Nehalem": ["sse4.2", "ssse3"], "qemu64": ["sse", "svm"], "EPYC": ["sha-ni", "svm"]}


def host(**more):
    return hypervisor_of(
        MadeUpLibvirt(capabilities_xml(features=["aes"], guests=X86_GUESTS), models=MODELS, **more)
    )


def arch_host(arch, model=None, features=()):
    machine = {"aarch64": "virt", "ppc64le": "pseries", "s390x": "s390-ccw-virtio"}.get(arch, "virt")
    guests = [guest_xml(arch, {machine: f"{machine}-7.2"})]
    text = capabilities_xml(arch, model=model, features=features, guests=guests)
    return hypervisor_of(MadeUpLibvirt(text, models={"POWER8": ["mmx"], "max": [], model or "": []}))


def supported(traits):
    return {trait for trait, yes in traits.items() if yes}


# -- CPU features


@pytest.mark.parametrize(
    ("mode", "models", "flags", "expected"),
    [
        (None, (), (), {"aes", "sse4.2", "ssse3"}),
        ("host-model", (), (), {"aes", "sse4.2", "ssse3"}),
        ("host-passthrough", (), ("+FMA4",), {"aes", "sse4.2", "ssse3", "fma4"}),
        ("host-model", (), ("-aes", "xop"), {"aes", "sse4.2", "ssse3", "xop"}),
        ("custom", ("epyc",), (), {"sha-ni", "svm"}),
        ("custom", ("EPYC", "nehalem"), ("+avx",), {"sha-ni", "svm", "sse4.2", "ssse3", "avx"}),
        ("none", (), ("+avx",), {"sse", "svm"}),
    ],
)
def test_features_by_cpu_mode(mode, models, flags, expected):
    assert guest_features(CpuMode("qemu", mode, models, flags), host()) == expected


def test_containers_have_no_cpu_model_and_no_feature_traits():
    for mode in (None, "none"):
        settings = CpuMode("lxc", mode, (), ())
        assert guest_features(settings, host()) is None
        assert set(cpu_traits(settings, host())) == {
            "HW_CPU_HYPERTHREADING",
            "HW_ARCH_X86_64",
            "COMPUTE_ARCH_X86_64",
        }


def test_a_model_that_libvirt_does_not_know_is_refused():
    with pytest.raises(DriverOptionError, match="cpu_models names 'Cray'"):
        guest_features(CpuMode("kvm", "custom", ("Nehalem", "Cray"), ()), host())


@pytest.mark.parametrize(
    ("arch", "mode", "expected"),
    [("aarch64", None, {"asimd"}), ("ppc64le", "none", {"mmx"}), ("s390x", None, {"asimd"})],
)
def test_features_on_other_architectures(arch, mode, expected):
    hypervisor = arch_host(arch, features=["asimd"])
    assert guest_features(CpuMode("qemu", mode, (), ()), hypervisor) == expected


def test_models_are_not_looked_up_where_libvirt_has_no_list_of_them():
    hypervisor = arch_host("aarch64")
    assert guest_features(CpuMode("kvm", "custom", ("max",), ()), hypervisor) == frozenset()


@pytest.mark.parametrize(
    ("flag", "parsed"),
    [
        ("avx", ("avx", "require")),
        ("+AVX", ("avx", "require")),
        ("-Avx", ("avx", "disable")),
        ("--avx", ("avx", "disable")),
    ],
)
def test_flags(flag, parsed):
    assert parse_flag(flag) == parsed


def test_a_vendors_virtualization_has_the_old_trait_too():
    traits = feature_traits(["vmx"])
    assert supported(traits) == {"HW_CPU_X86_VMX", "HW_CPU_X86_INTEL_VMX"}
    assert traits["HW_CPU_X86_AMD_SVM"] is False


# -- architectures and threads


def test_threads_of_several_cells():
    cells = [Cell([0, 1], threads=1), Cell([2, 3], threads=2)]
    hypervisor = hypervisor_of(MadeUpLibvirt(capabilities_xml(cells=cells, guests=X86_GUESTS)))
    assert cpu_traits(CpuMode("qemu", None, (), ()), hypervisor)["HW_CPU_HYPERTHREADING"]


def test_architectures_that_have_a_trait_and_those_that_have_none():
    guests = (*X86_GUESTS, guest_xml("aarch64", {"virt": "virt-7.2"}), guest_xml("alpha", {}))
    hypervisor = hypervisor_of(MadeUpLibvirt(capabilities_xml(guests=guests)))
    traits = supported(cpu_traits(CpuMode("qemu", "none", (), ()), hypervisor))
    assert traits == {"HW_ARCH_X86_64", "COMPUTE_ARCH_X86_64", "COMPUTE_ARCH_AARCH64"}


# -- devices


def test_buses_and_graphics_are_those_of_any_machine_type():
    machines = {
        ("x86_64", "pc"): domain_capabilities_xml(machine="pc-i440fx-7.2", buses=["ide"], video=["cirrus"]),
        ("x86_64", "q35"): domain_capabilities_xml(
            buses=["sata"], redirected=["usb"], video=["qxl", "ramfb"]
        ),
    }
    traits = supported(device_traits(host(machines=machines)))
    assert {trait for trait in traits if "BUS" in trait or "GRAPHICS" in trait} == {
        "COMPUTE_STORAGE_BUS_IDE",
        "COMPUTE_STORAGE_BUS_SATA",
        "COMPUTE_STORAGE_BUS_USB",
        "COMPUTE_GRAPHICS_MODEL_CIRRUS",
        "COMPUTE_GRAPHICS_MODEL_QXL",
    }


@pytest.mark.parametrize(
    ("virt_type", "has", "has_not"),
    [
        (
            "qemu",
            {"COMPUTE_NET_VIF_MODEL_LAN9118", "COMPUTE_NET_VIF_MODEL_VIRTIO"},
            {"COMPUTE_STORAGE_BUS_LXC"},
        ),
        ("kvm", {"COMPUTE_NET_VIF_MODEL_SPAPR_VLAN"}, {"COMPUTE_NET_VIF_MODEL_LAN9118"}),
        ("lxc", {"COMPUTE_STORAGE_BUS_LXC"}, {"COMPUTE_NET_VIF_MODEL_VIRTIO", "COMPUTE_STORAGE_BUS_VIRTIO"}),
        (
            "parallels",
            {"COMPUTE_STORAGE_BUS_IDE", "COMPUTE_NET_VIF_MODEL_E1000"},
            {"COMPUTE_NET_VIF_MODEL_E1000E", "COMPUTE_STORAGE_BUS_VIRTIO"},
        ),
    ],
)
def test_devices_by_the_type_of_guests(virt_type, has, has_not):
    traits = device_traits(hypervisor_of(MadeUpLibvirt(), virt_type))
    assert has <= supported(traits)
    assert {trait: traits[trait] for trait in has_not} == dict.fromkeys(has_not, False)


@pytest.mark.parametrize(
    ("libvirt", "qemu", "new"),
    [
        ((8, 2, 0), (6, 2, 0), set()),
        ((8, 3, 0), (6, 2, 0), {"COMPUTE_VIOMMU_MODEL_VIRTIO"}),
        ((9, 3, 0), (7, 2, 0), {"COMPUTE_VIOMMU_MODEL_VIRTIO"}),
        ((9, 3, 0), (8, 0, 0), {"COMPUTE_VIOMMU_MODEL_VIRTIO", "COMPUTE_NET_VIF_MODEL_IGB"}),
        ((10, 4, 0), (8, 1, 9), {"COMPUTE_VIOMMU_MODEL_VIRTIO", "COMPUTE_NET_VIF_MODEL_IGB"}),
        (
            (10, 4, 0),
            (8, 2, 0),
            {"COMPUTE_VIOMMU_MODEL_VIRTIO", "COMPUTE_NET_VIF_MODEL_IGB", "COMPUTE_SOUND_MODEL_VIRTIO"},
        ),
    ],
)
def test_devices_by_version(libvirt, qemu, new):
    traits = supported(device_traits(host(libvirt=libvirt, hypervisor=qemu)))
    watched = {"COMPUTE_VIOMMU_MODEL_VIRTIO", "COMPUTE_NET_VIF_MODEL_IGB", "COMPUTE_SOUND_MODEL_VIRTIO"}
    assert traits & watched == new
    assert {"COMPUTE_VIOMMU_MODEL_INTEL", "COMPUTE_VIOMMU_MODEL_AUTO", "COMPUTE_SOUND_MODEL_ICH9"} <= traits


def test_the_iommu_of_arm():
    traits = supported(device_traits(arch_host("aarch64")))
    assert "COMPUTE_VIOMMU_MODEL_SMMUV3" in traits
    assert "COMPUTE_VIOMMU_MODEL_INTEL" not in traits


def test_what_is_known_of_qemu_alone_is_not_said_of_other_hypervisors():
    hypervisor = hypervisor_of(MadeUpLibvirt(kind="Xen"))
    traits = supported(device_traits(hypervisor))
    assert not {
        trait for trait in traits if trait.startswith(("COMPUTE_NET", "COMPUTE_SOUND", "COMPUTE_VIOMMU"))
    }
    assert hypervisor.left_out


# -- firmware


def tpm_settings(
    enabled=True, virt_type="qemu", user="root", group="root", secrets=("user", "host", "deployment")
):
    return TpmSettings(enabled, virt_type, user, group, tuple(secrets))


def tpm_host(**tpm):
    text = domain_capabilities_xml(tpm=tpm_xml(**tpm))
    return host(machines={("x86_64", "q35"): text, ("x86_64", "pc"): text})


def test_no_tpm_traits_unless_tpms_are_enabled():
    assert not supported(tpm_traits(tpm_settings(enabled=False), tpm_of(tpm_host())))


def test_tpm_models_versions_and_who_holds_the_secret():
    traits = supported(
        tpm_traits(tpm_settings(secrets=["host", "bogus"]), tpm_of(tpm_host(models=["tpm-crb"])))
    )
    assert traits == {
        "COMPUTE_SECURITY_TPM_CRB",
        "COMPUTE_SECURITY_TPM_1_2",
        "COMPUTE_SECURITY_TPM_2_0",
        "COMPUTE_SECURITY_TPM_SECRET_SECURITY_HOST",
    }


@pytest.mark.parametrize(("versions", "two", "one"), [(None, True, True), (["2.0"], True, False)])
def test_tpm_versions_that_libvirt_tells_or_not(versions, two, one):
    traits = tpm_traits(tpm_settings(), tpm_of(tpm_host(versions=versions)))
    assert traits["COMPUTE_SECURITY_TPM_2_0"] is two
    assert traits["COMPUTE_SECURITY_TPM_1_2"] is one


def test_tpms_that_can_be():
    check_tpm(tpm_settings(), tpm_host())
    check_tpm(tpm_settings(enabled=False, user="nosuchuser"), tpm_host(supported="no"))


@pytest.mark.parametrize(
    ("settings", "tpm", "said"),
    [
        (tpm_settings(virt_type="lxc"), {}, "virt_type = lxc"),
        (tpm_settings(), {"supported": "no"}, "knows of no emulated TPM"),
        (tpm_settings(), {"backends": ["passthrough"]}, "knows of no emulated TPM"),
        (tpm_settings(user="nosuchuser"), {}, "swtpm_user = nosuchuser: there is no such user"),
        (tpm_settings(group="nosuchgroup"), {}, "swtpm_group = nosuchgroup: there is no such group"),
    ],
)
def test_tpms_that_cannot_be_are_refused(settings, tpm, said):
    with pytest.raises(DriverOptionError, match=said):
        check_tpm(settings, tpm_host(**tpm))


def test_a_host_that_tells_nothing_of_tpms_has_none():
    assert tpm_of(host(machines={})) == Tpm(False, (), (), ())
    assert tpm_of(host()) == Tpm(False, (), (), ())


def test_secure_boot_of_any_machine_type():
    machines = {
        ("x86_64", "pc"): domain_capabilities_xml(machine="pc-i440fx-7.2", loader=loader_xml(["no"])),
        ("x86_64", "q35"): domain_capabilities_xml(loader=loader_xml(["yes"])),
    }
    assert has_secure_boot(host(machines=machines))
    assert not has_secure_boot(host())


# -- abilities


def ability_settings(virt_type="kvm", images_type="default", force_raw=True, tpm=False, backed=0):
    return AbilitySettings(virt_type, images_type, force_raw, tpm, backed)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (ability_settings(), {"supports_image_type_qcow2": True, "supports_image_type_ploop": False}),
        (ability_settings(images_type="lvm"), {"supports_image_type_qcow2": True}),
        (ability_settings(images_type="lvm", force_raw=False), {"supports_image_type_qcow2": False}),
        (ability_settings(images_type="raw", force_raw=False), {"supports_image_type_qcow2": True}),
        (ability_settings(virt_type="parallels"), {"supports_image_type_ploop": True}),
        (ability_settings(tpm=True), {"supports_vtpm": True, "supports_mem_backing_file": False}),
        (ability_settings(backed=512), {"supports_mem_backing_file": True}),
    ],
)
def test_abilities_by_configuration(settings, expected):
    found = configured_abilities(settings)
    assert {name: found[name] for name in expected} == expected


def test_abilities_by_version():
    old = versioned_abilities(Versions(version_number((8, 5, 0)), version_number((6, 2, 0)), "QEMU"))
    assert old["supports_virtio_fs"]
    assert not old["supports_stateless_firmware"]
    assert not old["supports_address_space_emulated"]
    new = versioned_abilities(Versions(version_number((8, 7, 0)), version_number((6, 2, 0)), "QEMU"))
    assert new["supports_stateless_firmware"]
    assert new["supports_address_space_emulated"]
    other = versioned_abilities(Versions(version_number((9, 0, 0)), version_number((4, 17, 0)), "Xen"))
    assert not other["supports_address_space_passthrough"]
    assert not other["supports_virtio_fs"]


def test_no_ports_are_managed_remotely_unless_devices_for_that_are_found():
    assert abilities(ability_settings(), host())["supports_remote_managed_ports"] is False
