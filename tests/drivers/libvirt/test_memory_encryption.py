"""Guests with encrypted memory: what a host has of it, its providers, and the move off the node itself."""

import pytest

from drivers.errors import HostReadError, ReshapeFailed, ReshapeNeeded
from drivers.libvirt.memory_encryption_part import MemoryEncryptionPart
from drivers.libvirt.options import OPTIONS
from tests.drivers.libvirt.builders import (
    NODE,
    Machine,
    configuration,
    holdings,
    hypervisor,
    launch_security,
    named,
    new_tree,
    sev,
)

GUEST = "aaaaaaaa-0000-0000-0000-000000000001"
CLASS = "MEM_ENCRYPTION_CONTEXT"
ALL_ON = {"sev": "Y", "sev_es": "1", "sev_snp": "N"}


@pytest.fixture
def make(tmp_path):
    def build(machine, kernel=None, capacity=None, conf=""):
        for name, value in (kernel or {}).items():
            file = tmp_path / "sys/module/kvm_amd/parameters" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(value + "\n")
        if capacity is not None:
            (tmp_path / "sys/fs/cgroup").mkdir(parents=True, exist_ok=True)
            (tmp_path / "sys/fs/cgroup/misc.capacity").write_text(capacity)
        only = {"libvirt": [each for each in OPTIONS["libvirt"] if each.name == "cpu_mode"]}
        text = f"[libvirt]\n{conf}\n"
        found = configuration(tmp_path, text, MemoryEncryptionPart, more=only)
        return MemoryEncryptionPart(found, hypervisor(machine, tmp_path))

    return build


@pytest.fixture
def contexts(make):
    """Provider → total, of a machine."""

    def run(features, kernel=None, capacity=None, conf="", **machine):
        tree = new_tree()
        make(Machine(features=features, **machine), kernel, capacity, conf).update(tree, NODE, None)
        return {
            each.name.removeprefix(f"{NODE}_"): each.inventory[CLASS]["total"] for each in tree.children(NODE)
        }

    return run


def test_a_provider_as_placement_gets_it(make):
    tree = new_tree()
    make(Machine(features=sev(15, 0)), ALL_ON).update(tree, NODE, None)
    provider = tree.provider(f"{NODE}_amd_sev")
    assert provider.inventory == {
        CLASS: {
            "total": 15,
            "reserved": 0,
            "min_unit": 1,
            "max_unit": 1,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
    }
    assert provider.traits == {"HW_CPU_X86_AMD_SEV", "OWNER_NOVA"}


def test_a_host_without_any_of_it(contexts):
    assert contexts("") == {}
    assert contexts(sev(15, 5)) == {}, "the kernel does not let guests have it"


@pytest.mark.parametrize(
    ("features", "kernel", "found"),
    [
        (sev(15, 493), {"sev": "Y", "sev_es": "Y"}, {"amd_sev": 15, "amd_sev_es": 493}),
        (sev(15, 493), {"sev": "1"}, {"amd_sev": 15}),
        (sev(15, 493), {"sev": "N", "sev_es": "Y"}, {}),
        (sev(15, 493, "no"), {"sev": "Y", "sev_es": "Y"}, {}),
        (sev(None, None), {"sev": "Y", "sev_es": "Y"}, {}),
        (sev(0, 509), {"sev": "Y", "sev_es": "Y"}, {"amd_sev_es": 509}),
        (
            sev(15, 493) + launch_security("sev", "sev-es", "sev-snp"),
            {"sev": "Y", "sev_es": "Y", "sev_snp": "Y"},
            {"amd_sev": 15, "amd_sev_snp": 493},
        ),
        (
            sev(15, 493) + launch_security("sev"),
            {"sev": "Y", "sev_es": "Y", "sev_snp": "Y"},
            {"amd_sev": 15},
        ),
        (
            sev(15, 493) + launch_security("sev-snp", supported="no"),
            {"sev": "Y", "sev_snp": "Y"},
            {"amd_sev": 15},
        ),
        (
            sev(15, 493) + launch_security("sev-snp"),
            {"sev": "Y", "sev_es": "Y"},
            {"amd_sev": 15, "amd_sev_es": 493},
        ),
    ],
)
def test_amd(contexts, features, kernel, found):
    assert contexts(features, kernel) == found


def test_sev_es_needs_qemu_8(contexts):
    assert contexts(sev(15, 5), ALL_ON, qemu=(7, 2, 0)) == {"amd_sev": 15}
    assert contexts(sev(15, 5), ALL_ON, qemu=(8, 0, 0)) == {"amd_sev": 15, "amd_sev_es": 5}


def test_other_architectures_have_none_of_it(contexts):
    assert contexts(sev(15, 5), ALL_ON, arch="aarch64") == {}


class TestTdx:
    """Intel TDX: libvirt says that, the kernel says how many."""

    FEATURE = "<tdx supported='yes'/>"
    PASSTHROUGH = "cpu_mode = host-passthrough"

    @pytest.mark.parametrize(
        ("conf", "capacity", "found"),
        [
            ("", "res_a 5\ntdx 31\n", {"intel_tdx": 31}),
            ("num_intel_tdx_guests = 8", "tdx 31\n", {"intel_tdx": 8}),
            ("num_intel_tdx_guests = 8", None, {"intel_tdx": 8}),
            ("num_intel_tdx_guests = 64", "tdx 31\n", {"intel_tdx": 64}),
            ("num_intel_tdx_guests = 0", "tdx 31\n", {}),
            ("", "sev 31\n", {}),
            ("", None, {}),
        ],
    )
    def test_how_many(self, contexts, conf, capacity, found):
        assert contexts(self.FEATURE, None, capacity, f"{self.PASSTHROUGH}\n{conf}") == found

    @pytest.mark.parametrize("mode", ["", "cpu_mode = host-model", "cpu_mode = none"])
    def test_only_with_the_hosts_own_cpu(self, contexts, mode):
        assert contexts(self.FEATURE, None, "tdx 31\n", mode) == {}

    def test_a_host_without_it(self, contexts):
        assert contexts("<tdx supported='no'/>", None, "tdx 31\n", self.PASSTHROUGH) == {}

    def test_what_is_odd_is_said_once(self, make, caplog):
        part, tree = make(Machine(features=self.FEATURE), conf=self.PASSTHROUGH), new_tree()
        part.update(tree, NODE, None)
        part.update(tree, NODE, None)
        (said,) = [each.getMessage() for each in caplog.records]
        assert said.startswith("Intel TDX is left out: /sys/fs/cgroup/misc.capacity does not tell")
        assert said.endswith("set [libvirt] num_intel_tdx_guests")

    def test_a_capacity_that_is_no_number(self, contexts):
        with pytest.raises(HostReadError, match=r"misc\.capacity"):
            contexts(self.FEATURE, None, "tdx many\n", self.PASSTHROUGH)


def test_what_the_host_no_longer_has_goes(make):
    tree = new_tree()
    make(Machine(features=sev(15, 5)), ALL_ON).update(tree, NODE, None)
    make(Machine(features=sev(15, 5)), {"sev_es": "N"}).update(tree, NODE, None)
    assert [each.name for each in tree.children(NODE)] == [f"{NODE}_amd_sev"]


class TestReshape:
    """Contexts on the node itself, as before 2025.2, move to SEV's provider."""

    def old_tree(self):
        tree = new_tree({"VCPU": {"total": 8}, CLASS: {"total": 15}})
        tree.update_traits(NODE, ["HW_CPU_X86_AMD_SEV", "CUSTOM_KEPT"])
        return tree

    def test_allocations_are_asked_for(self, make):
        with pytest.raises(ReshapeNeeded, match=CLASS):
            make(Machine(features=sev(15, 0)), ALL_ON).update(self.old_tree(), NODE, None)

    def test_amounts_are_kept(self, make):
        tree = self.old_tree()
        allocations = holdings(
            tree,
            {GUEST: {NODE: {"VCPU": 2, CLASS: 1}}, "other": {NODE: {"VCPU": 1}, "elsewhere": {CLASS: 1}}},
        )
        make(Machine(features=sev(15, 0)), ALL_ON).update(tree, NODE, allocations)
        assert named(tree, allocations) == {
            GUEST: {NODE: {"VCPU": 2}, f"{NODE}_amd_sev": {CLASS: 1}},
            "other": {NODE: {"VCPU": 1}, "elsewhere": {CLASS: 1}},
        }
        assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}
        assert tree.provider(NODE).traits == {"CUSTOM_KEPT"}

    def test_contexts_in_use_on_a_host_that_has_no_sev_any_more(self, make):
        tree = self.old_tree()
        with pytest.raises(ReshapeFailed, match=GUEST) as caught:
            make(Machine(), ALL_ON).update(tree, NODE, holdings(tree, {GUEST: {NODE: {CLASS: 1}}}))
        assert caught.value.advice

    def test_contexts_that_nobody_uses_just_go(self, make):
        tree = self.old_tree()
        make(Machine(), ALL_ON).update(tree, NODE, holdings(tree, {GUEST: {NODE: {"VCPU": 1}}}))
        assert tree.provider(NODE).inventory == {"VCPU": {"total": 8}}
