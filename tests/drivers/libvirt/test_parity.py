"""Beside Nova's libvirt driver and resource tracker on this host's libvirtd: the same tree, or both refuse.

Nova is run by nova_libvirt_tree.py and compared by compare_trees.py, which are not part of the project:
PLACEMENT_REPORTER_PEERS names their directory; otherwise ../shared/peers beside the project is looked into.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PEERS = Path(os.environ.get("PLACEMENT_REPORTER_PEERS", ROOT.parent / "shared" / "peers"))

pytestmark = [
    pytest.mark.libvirtd,
    pytest.mark.peer,
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("nova") is None, reason="Nova is not installed"),
    pytest.mark.skipif(not (PEERS / "nova_libvirt_tree.py").exists(), reason=f"no Nova to run in {PEERS}"),
]

SAME = {
    "nothing": "",
    "cpu_mode none": "[libvirt]\ncpu_mode = none\n",
    "extra flags": "[libvirt]\ncpu_mode = host-passthrough\ncpu_model_extra_flags = +3dnow, -avx\n",
    "models": "[libvirt]\ncpu_mode = custom\ncpu_models = nehalem, EPYC\ncpu_model_extra_flags = XOP\n",
    "KVM": "[libvirt]\nvirt_type = kvm\n",
    "containers' tables": "[libvirt]\nvirt_type = lxc\nconnection_uri = qemu:///system\n",
    "machine type": "[libvirt]\nhw_machine_type = x86_64=q35\n",
    "file-backed memory": "[DEFAULT]\nram_allocation_ratio = 1.0\nreserved_host_memory_mb = 0\n"
    "[libvirt]\nfile_backed_memory = 4096\n",
    "a pinned set": "[DEFAULT]\nvcpu_pin_set = 0\nreserved_host_cpus = 1\n",
    "no shared CPUs": "[compute]\ncpu_dedicated_set = 0\n",
    "no qcow2": "[compute]\nimage_type_exclude_list = qcow2,iso\n",
    "initial ratios": "[DEFAULT]\ninitial_cpu_allocation_ratio = 16.0\ninitial_disk_allocation_ratio = 0.5\n",
    "the image cache": "[workarounds]\nreserve_disk_resource_for_image_cache = true\n",
    "physical networks": "[neutron]\nphysnets = a\n[neutron_physnet_a]\nnuma_nodes = 0\n",
}
REFUSED = {
    "no such mode": "[libvirt]\ncpu_mode = maximum\n",
    "no such model": "[libvirt]\ncpu_mode = custom\ncpu_models = Cray\n",
    "models without custom": "[libvirt]\ncpu_models = Nehalem\n",
    "CPUs in both sets": "[compute]\ncpu_dedicated_set = 0\ncpu_shared_set = 0\n",
    "CPUs that are not there": "[compute]\ncpu_shared_set = 0-4095\n",
    "no CPU left": "[compute]\ncpu_shared_set = 0,^0\n",
    "file-backed memory with overcommitment": "[libvirt]\nfile_backed_memory = 4096\n",
    "no such user": "[libvirt]\nswtpm_enabled = true\nswtpm_user = nosuchuser\n",
    "a volume group that is not there": "[libvirt]\nimages_type = lvm\nimages_volume_group = nosuchgroup\n",
    "no such NUMA node": "[neutron_tunnel]\nnuma_nodes = 77\n",
    "no libvirt there": "[libvirt]\nconnection_uri = qemu+unix:///system?socket=/nonexistent\n",
}


@pytest.fixture
def both(system_uri, tmp_path):
    """Run both with a configuration; gives (Nova's outcome, ours, what differs)."""
    state = tmp_path / "state"
    (state / "instances").mkdir(parents=True)
    base = tmp_path / "base.conf"
    base.write_text(
        f"[DEFAULT]\nstate_path = {state}\ninstances_path = {state}/instances\n[libvirt]\nvirt_type = qemu\n"
    )

    def run(conf):
        nova, ours, differences = run_once(conf)
        if "MEMORY_MB" in differences:  # a virtual machine's memory may change from one run to the next
            return run_once(conf)
        return nova, ours, differences

    def run_once(conf):
        files = ["--config-file", str(base), "--config-file", str(conf)]
        nova = _run([str(PEERS / "nova_libvirt_tree.py"), "--state", str(state), *files])
        ours = _run(
            [
                "-m",
                "reporter",
                *files,
                "--driver",
                "libvirt",
                "--state-dir",
                str(tmp_path / "ours"),
                *["show", "--format", "json"],
            ]
        )
        differences = ""
        if nova.returncode == ours.returncode == 0:
            for name, done in (("nova", nova), ("ours", ours)):
                (tmp_path / f"{name}.json").write_text(done.stdout)
            trees = [str(tmp_path / "nova.json"), str(tmp_path / "ours.json")]
            differences = _run([str(PEERS / "compare_trees.py"), *trees]).stdout.strip()
        return nova, ours, differences

    return run


def _run(arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def _examples():
    return sorted((PEERS / "nova_conf").glob("*.conf"))


def _written(tmp_path, text):
    conf = tmp_path / "this.conf"
    conf.write_text(text)
    return conf


@pytest.mark.parametrize("name", SAME)
def test_the_same_tree(both, tmp_path, name):
    nova, ours, differences = both(_written(tmp_path, SAME[name]))
    assert nova.returncode == 0, nova.stderr
    assert ours.returncode == 0, ours.stderr
    assert differences == "the same"


@pytest.mark.parametrize("name", REFUSED)
def test_both_refuse(both, tmp_path, name):
    nova, ours, _ = both(_written(tmp_path, REFUSED[name]))
    assert nova.returncode != 0
    assert ours.returncode == 1
    assert ours.stderr.startswith("error: ")
    assert "Traceback" not in ours.stderr


@pytest.mark.parametrize("example", _examples(), ids=lambda path: path.stem)
def test_the_examples_that_come_with_nova_s_runner(both, tmp_path, example):
    text = example.read_text().replace("@HERE@", str(example.parent))
    nova, ours, differences = both(_written(tmp_path, text))
    assert (nova.returncode, ours.returncode) == (0, 0), ours.stderr
    assert differences == "the same"
