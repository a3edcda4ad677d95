from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import ComputeDriver
from drivers.compute_inventory import compute_inventory, configured, disk_gb, read_settings
from provider_tree.source import Source
from tests.drivers.configured import make_conf

RATIOS = {"VCPU": "cpu", "MEMORY_MB": "ram", "DISK_GB": "disk"}

maybe_ratio = st.none() | st.just(0.0) | st.floats(0.001, 1000)
stored = st.dictionaries(
    st.sampled_from([*RATIOS, "PCPU", "VGPU"]),
    st.fixed_dictionaries({"total": st.integers(1, 99), "allocation_ratio": st.floats(0.1, 50)}),
)


def settings_of(values: dict[str, Any]) -> dict[str, Source]:
    full = {
        **{f"{kind}_allocation_ratio": None for kind in RATIOS.values()},
        **{f"initial_{kind}_allocation_ratio": 1.0 for kind in RATIOS.values()},
        "reserved_host_cpus": 0,
        "reserved_host_memory_mb": 512,
        "reserved_host_disk_mb": 0,
        **values,
    }
    return {name: Source("configuration", name, value) for name, value in full.items()}


def precedence(option: float | None, initial: float, placement: float | None) -> float:
    """Nova's rule, said once more."""
    if option is not None and option != 0.0:
        return option
    return initial if placement is None else placement


@given(st.data(), stored)
def test_ratios_follow_novas_precedence(data: st.DataObject, current: dict[str, dict[str, Any]]) -> None:
    values: dict[str, Any] = {}
    for kind in RATIOS.values():
        values[f"{kind}_allocation_ratio"] = data.draw(maybe_ratio)
        values[f"initial_{kind}_allocation_ratio"] = data.draw(st.floats(0.1, 20))
    totals = {name: Source("driver", "test", 8) for name in (*RATIOS, "PCPU")}
    made = compute_inventory(totals, settings_of(values), current)
    for name, kind in RATIOS.items():
        expected = precedence(
            values[f"{kind}_allocation_ratio"],
            values[f"initial_{kind}_allocation_ratio"],
            current[name]["allocation_ratio"] if name in current else None,
        )
        assert made.records[name]["allocation_ratio"] == expected
        assert made.notes[f"{name}.allocation_ratio"].value == expected
    assert made.records["PCPU"]["allocation_ratio"] == 1.0
    assert made.records["PCPU"]["reserved"] == 0


@given(st.integers(0, 64), st.integers(0, 10**7), st.integers(0, 10**9))
def test_reserved_comes_from_the_options_and_disk_is_rounded_up(cpus: int, memory: int, disk: int) -> None:
    values = {"reserved_host_cpus": cpus, "reserved_host_memory_mb": memory, "reserved_host_disk_mb": disk}
    totals = {name: Source("driver", "test", 8) for name in RATIOS}
    records = compute_inventory(totals, settings_of(values), {}).records
    reserved = {name: record["reserved"] for name, record in records.items()}
    assert reserved == {"VCPU": cpus, "MEMORY_MB": memory, "DISK_GB": math.ceil(disk / 1024)}


@given(st.integers(0, 10**12))
def test_rounding_up_reserves_no_less_and_less_than_one_more(megabytes: int) -> None:
    assert 0 <= disk_gb(megabytes) * 1024 - megabytes < 1024


def test_a_total_of_nothing_makes_no_inventory() -> None:
    totals = {"VCPU": Source("driver", "test", 0), "MEMORY_MB": Source("driver", "test", 1024)}
    made = compute_inventory(totals, settings_of({}), {})
    assert made.records == {
        "MEMORY_MB": {
            "total": 1024,
            "reserved": 512,
            "min_unit": 1,
            "max_unit": 1024,
            "step_size": 1,
            "allocation_ratio": 1.0,
        }
    }
    assert not [field for field in made.notes if field.startswith("VCPU")]


def test_a_driver_can_say_itself_what_is_reserved() -> None:
    more = {"DISK_GB": Source("driver", "reserved and the image cache", 7)}
    made = compute_inventory({"DISK_GB": Source("driver", "test", 100)}, settings_of({}), {}, more)
    assert made.records["DISK_GB"]["reserved"] == 7
    assert made.notes["DISK_GB.reserved"].detail == "reserved and the image cache"


class TestProvenance:
    def test_a_ratio_from_a_file_names_it_and_what_lost(self, tmp_path: Path) -> None:
        conf = make_conf(tmp_path, "cpu_allocation_ratio = 16\n")
        current = {"VCPU": {"total": 4, "allocation_ratio": 2.0}}
        made = compute_inventory({"VCPU": Source("driver", "test", 4)}, read_settings(conf), current)
        source = made.notes["VCPU.allocation_ratio"]
        assert (source.kind, source.value) == ("configuration", 16.0)
        assert source.detail == f"[DEFAULT] cpu_allocation_ratio in {tmp_path}/reporter.conf"
        assert [(each.kind, each.value) for each in source.lost] == [("placement", 2.0), ("default", 4.0)]

    def test_a_ratio_kept_from_placement_says_why(self, tmp_path: Path) -> None:
        conf = make_conf(tmp_path, "initial_cpu_allocation_ratio = 8\n")
        current = {"VCPU": {"total": 4, "allocation_ratio": 2.0}}
        made = compute_inventory({"VCPU": Source("driver", "test", 4)}, read_settings(conf), current)
        source = made.notes["VCPU.allocation_ratio"]
        assert (source.kind, source.value) == ("placement", 2.0)
        assert source.detail == "kept from Placement (option unset, initial_* applies only to new inventory)"
        assert [(each.kind, each.value) for each in source.lost] == [("configuration", 8.0)]

    def test_a_ratio_of_zero_counts_as_unset_and_is_remarked_upon(self, tmp_path: Path) -> None:
        conf = make_conf(tmp_path, "cpu_allocation_ratio = 0.0\n")
        made = compute_inventory({"VCPU": Source("driver", "test", 4)}, read_settings(conf), {})
        source = made.notes["VCPU.allocation_ratio"]
        assert (source.kind, source.value) == ("default", 4.0)
        assert "0.0 means unset" in source.lost[0].detail

    def test_where_an_option_was_set(self, tmp_path: Path) -> None:
        conf = make_conf(tmp_path, "reserved_host_cpus = 1\n[compute]\nimage_type_exclude_list = raw\n")
        conf.set_override("reserved_host_memory_mb", 7)
        assert configured(conf, "reserved_host_cpus").kind == "configuration"
        assert configured(conf, "reserved_host_disk_mb") == Source(
            "default", "[DEFAULT] reserved_host_disk_mb", 0
        )
        override = configured(conf, "reserved_host_memory_mb")
        assert (override.kind, override.value) == ("configuration", 7)
        in_group = configured(conf, "image_type_exclude_list", "compute")
        assert in_group.detail == f"[compute] image_type_exclude_list in {tmp_path}/reporter.conf"

    def test_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OS_DEFAULT__RESERVED_HOST_CPUS", "3")
        source = configured(make_conf(tmp_path), "reserved_host_cpus")
        assert (source.kind, source.value) == ("configuration", 3)
        assert "environment" in source.detail


class TestOnTheDriver:
    """The seed's two helpers, under its names."""

    def test_ratios(self, tmp_path: Path) -> None:
        driver = ComputeDriver(make_conf(tmp_path, "ram_allocation_ratio = 1.5\n"))
        stored = {"DISK_GB": {"total": 10, "allocation_ratio": 3.0}}
        ratios = driver._get_allocation_ratios(stored)
        assert ratios == {"VCPU": 4.0, "MEMORY_MB": 1.5, "DISK_GB": 3.0}

    @pytest.mark.parametrize(("megabytes", "gigabytes"), [(0, 0), (1, 1), (1024, 1), (1025, 2)])
    def test_reserved_disk(self, tmp_path: Path, megabytes: int, gigabytes: int) -> None:
        driver = ComputeDriver(make_conf(tmp_path, f"reserved_host_disk_mb = {megabytes}\n"))
        assert driver._get_reserved_host_disk_gb_from_config() == gigabytes
