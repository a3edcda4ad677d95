from __future__ import annotations

import socket
from pathlib import Path
from typing import ClassVar

import pytest
from oslo_config import cfg

from drivers import options
from drivers.base import ComputeDriver
from drivers.errors import DriverOptionError
from tests.drivers.configured import make_conf


def test_defaults_are_novas(tmp_path: Path) -> None:
    conf = make_conf(tmp_path)
    assert (conf.cpu_allocation_ratio, conf.ram_allocation_ratio, conf.disk_allocation_ratio) == (
        None,
        None,
        None,
    )
    assert conf.initial_cpu_allocation_ratio == 4.0
    assert (conf.initial_ram_allocation_ratio, conf.initial_disk_allocation_ratio) == (1.0, 1.0)
    assert (conf.reserved_host_cpus, conf.reserved_host_memory_mb, conf.reserved_host_disk_mb) == (0, 512, 0)
    assert conf.host == socket.gethostname()
    assert conf.instances_path == f"{tmp_path}/instances"
    assert conf.compute.image_type_exclude_list == []
    socket.inet_aton(conf.my_ip)


@pytest.mark.parametrize(
    "line",
    [
        "cpu_allocation_ratio = -1",
        "initial_disk_allocation_ratio = -0.5",
        "reserved_host_cpus = -1",
        "reserved_host_memory_mb = many",
        "host = two words",
    ],
)
def test_values_out_of_bounds_are_refused(tmp_path: Path, line: str) -> None:
    conf = make_conf(tmp_path, f"{line}\n")
    with pytest.raises(cfg.ConfigFileValueError):
        getattr(conf, line.partition(" ")[0])


def test_an_existing_nova_conf_works(tmp_path: Path) -> None:
    """Options and groups of Nova's that are not ours do not disturb."""
    conf = make_conf(
        tmp_path,
        "transport_url = rabbit://x\nhost = compute7\ncpu_allocation_ratio = 16.0\n"
        "state_path = /var/lib/nova\n"
        "[libvirt]\nvirt_type = kvm\n[neutron]\nauth_type = password\n",
    )
    assert (conf.host, conf.cpu_allocation_ratio) == ("compute7", 16.0)
    assert conf.instances_path == "/var/lib/nova/instances"


def test_registering_twice_changes_nothing(tmp_path: Path) -> None:
    conf = make_conf(tmp_path, "host = a\n")
    options.register(conf)
    options.register(conf, ComputeDriver)
    assert conf.host == "a"


def test_a_driver_that_defines_an_option_anew_is_told(tmp_path: Path) -> None:
    class Clashing(ComputeDriver):
        options: ClassVar[options.Options] = {"DEFAULT": [cfg.StrOpt("reserved_host_cpus")]}

    with pytest.raises(DriverOptionError, match=r"\[DEFAULT\] reserved_host_cpus is defined twice.*Clashing"):
        options.register(make_conf(tmp_path), Clashing)


def test_every_option_has_a_help_text() -> None:
    for _, group in options.all_options():
        assert all(option.help and option.help.strip().endswith(".") for option in group)
