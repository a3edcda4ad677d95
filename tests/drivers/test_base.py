from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.base import ComputeDriver, Vocabulary
from drivers.capabilities import CAPABILITY_TRAITS_MAP
from drivers.events import Event, InventoryEvent, LifecycleEvent, Transition
from provider_tree import ProviderTree
from provider_tree.names import is_standard_trait
from tests.drivers.configured import make_conf


class OneNode(ComputeDriver):
    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return ["node1"]


@pytest.fixture
def driver(tmp_path: Path) -> ComputeDriver:
    return ComputeDriver(make_conf(tmp_path))


FACTS: dict[str, Callable[[ComputeDriver], Any]] = {
    "init_host": lambda each: each.init_host("host"),
    "get_available_nodes": lambda each: each.get_available_nodes(refresh=True),
    "get_nodenames_by_uuid": lambda each: each.get_nodenames_by_uuid(),
    "node_is_available": lambda each: each.node_is_available("node1"),
    "update_provider_tree": lambda each: each.update_provider_tree(ProviderTree(), "node1", allocations=None),
    "get_available_resource": lambda each: each.get_available_resource("node1"),
    "get_host_ip_addr": lambda each: each.get_host_ip_addr(),
    "get_host_uptime": lambda each: each.get_host_uptime(),
    "get_host_cpu_stats": lambda each: each.get_host_cpu_stats(),
    "list_instances": lambda each: each.list_instances(),
    "list_instance_uuids": lambda each: each.list_instance_uuids(),
    "get_num_instances": lambda each: each.get_num_instances(),
}


@pytest.mark.parametrize("name", FACTS)
def test_a_driver_without_a_fact_says_so(driver: ComputeDriver, name: str) -> None:
    with pytest.raises(NotImplementedError):
        FACTS[name](driver)


def test_what_every_driver_has(driver: ComputeDriver) -> None:
    driver.cleanup_host("host")
    assert driver.rebalances_nodes is False
    assert driver.options == {}
    assert driver.virtapi is None
    assert driver.new_node_uuid("node1") is None
    assert not any(driver.capabilities.values())


class TestCapabilities:
    def test_every_trait_is_a_standard_one(self) -> None:
        assert all(is_standard_trait(trait) for trait in CAPABILITY_TRAITS_MAP.values())

    def test_those_without_a_trait_are_left_out(self, tmp_path: Path) -> None:
        driver = ComputeDriver(make_conf(tmp_path))
        driver.capabilities = {
            "supports_evacuate": True,
            "supports_multiattach": True,
            "supports_bfv_rescue": False,
        }
        assert driver.capabilities_as_traits() == {
            "COMPUTE_VOLUME_MULTI_ATTACH": True,
            "COMPUTE_RESCUE_BFV": False,
        }

    def test_excluded_image_types_count_as_not_supported(self, tmp_path: Path) -> None:
        driver = ComputeDriver(make_conf(tmp_path, "[compute]\nimage_type_exclude_list = qcow2,vmdk\n"))
        driver.capabilities = {f"supports_image_type_{kind}": True for kind in ("raw", "qcow2", "vmdk")}
        assert driver.capabilities_as_traits() == {
            "COMPUTE_IMAGE_TYPE_RAW": True,
            "COMPUTE_IMAGE_TYPE_QCOW2": False,
            "COMPUTE_IMAGE_TYPE_VMDK": False,
        }


class TestVocabulary:
    def test_a_driver_owns_the_capability_traits(self, driver: ComputeDriver) -> None:
        assert driver.vocabulary.has_trait("COMPUTE_IMAGE_TYPE_RAW")
        assert not driver.vocabulary.has_trait("CUSTOM_GOLD")
        assert not driver.vocabulary.has_class("VCPU")

    def test_names_and_beginnings_add_up(self) -> None:
        both = Vocabulary(traits=frozenset({"A"}), class_prefixes=("CUSTOM_GPU_",)) | Vocabulary(
            trait_prefixes=("HW_CPU_",), classes=frozenset({"VCPU"})
        )
        assert [both.has_trait(name) for name in ("A", "HW_CPU_X86_AVX", "B")] == [True, True, False]
        assert [both.has_class(name) for name in ("VCPU", "CUSTOM_GPU_A", "PCPU")] == [True, True, False]
        assert Vocabulary() | both == both


class TestNodes:
    UUID = "5d7e5b2e-1f3a-4f1e-9c58-0b8c7f7a0c11"
    OTHER = "0d8a4a5e-4a53-4e64-bc0f-4c1b33f6a6b2"

    def test_the_uuid_that_nova_stored_beside_the_configuration(self, tmp_path: Path) -> None:
        driver = OneNode(make_conf(tmp_path, "state_path = /nowhere\n"))
        (tmp_path / "compute_id").write_text(f"  {self.UUID.upper()}\n")
        assert driver.get_nodenames_by_uuid() == {self.UUID: "node1"}

    def test_the_uuid_that_nova_stored_in_state_path(self, tmp_path: Path) -> None:
        (tmp_path / "state").mkdir()
        (tmp_path / "state/compute_id").write_text(self.UUID)
        driver = OneNode(make_conf(tmp_path, f"state_path = {tmp_path}/state\n"))
        assert driver.get_nodenames_by_uuid(refresh=True) == {self.UUID: "node1"}

    def test_without_a_stored_uuid_none_is_made_up_or_written(self, tmp_path: Path) -> None:
        driver = OneNode(make_conf(tmp_path))
        with pytest.raises(NotImplementedError):
            driver.get_nodenames_by_uuid()
        assert [path.name for path in tmp_path.iterdir()] == ["reporter.conf"]

    def test_files_that_disagree_are_refused_and_named(self, tmp_path: Path) -> None:
        from drivers.errors import DriverOptionError

        (tmp_path / "state").mkdir()
        (tmp_path / "compute_id").write_text(self.UUID)
        (tmp_path / "state/compute_id").write_text(self.OTHER)
        driver = OneNode(make_conf(tmp_path, f"state_path = {tmp_path}/state\n"))
        with pytest.raises(DriverOptionError, match=f"{tmp_path}/compute_id says {self.UUID}") as caught:
            driver.get_nodenames_by_uuid()
        assert f"{tmp_path}/state/compute_id says {self.OTHER}" in str(caught.value)

    @pytest.mark.parametrize("text", ["", "not a uuid", UUID + UUID, UUID[:-1]])
    def test_a_malformed_file_is_refused(self, tmp_path: Path, text: str) -> None:
        from drivers.errors import DriverOptionError

        (tmp_path / "compute_id").write_text(text)
        with pytest.raises(DriverOptionError, match="compute_id does not hold a uuid"):
            OneNode(make_conf(tmp_path)).get_nodenames_by_uuid()

    def test_a_file_that_cannot_be_read_is_not_a_missing_one(self, tmp_path: Path) -> None:
        from drivers.errors import HostReadError

        (tmp_path / "compute_id").mkdir()
        with pytest.raises(HostReadError, match="cannot read"):
            OneNode(make_conf(tmp_path)).get_nodenames_by_uuid()

    def test_a_node_is_looked_for_again_before_it_is_denied(self, tmp_path: Path) -> None:
        class Late(ComputeDriver):
            def get_available_nodes(self, refresh: bool = False) -> list[str]:
                return ["old", "new"] if refresh else ["old"]

        driver = Late(make_conf(tmp_path))
        assert driver.node_is_available("old")
        assert driver.node_is_available("new")
        assert not driver.node_is_available("none")


class TestInstances:
    def test_by_uuid_or_else_by_name(self, tmp_path: Path) -> None:
        class Names(ComputeDriver):
            def list_instances(self) -> list[str]:
                return ["instance-01", "instance-02"]

        class Uuids(Names):
            def list_instance_uuids(self) -> list[str]:
                return ["u1"]

        names, uuids = Names(make_conf(tmp_path)), Uuids(make_conf(tmp_path))
        assert names.get_num_instances() == 2
        instance = SimpleNamespace(uuid="u2", name="instance-02")
        assert names.instance_exists(instance)
        assert not uuids.instance_exists(instance)
        assert uuids.instance_exists(SimpleNamespace(uuid="u1", name="gone"))


class TestEvents:
    def test_a_listener_hears_events(self, driver: ComputeDriver) -> None:
        heard: list[Event] = []
        driver.register_event_listener(heard.append)
        event = LifecycleEvent("u1", Transition.STARTED)
        driver.emit_event(event)
        assert heard == [event]

    def test_without_a_listener_nothing_happens(self, driver: ComputeDriver) -> None:
        driver.emit_event(InventoryEvent("node1"))
        driver.register_event_listener(list[Event]().append)
        driver.register_event_listener(None)
        driver.emit_event(InventoryEvent("node1"))

    def test_what_a_listener_raises_is_logged_not_raised(
        self, driver: ComputeDriver, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(event: Event) -> None:
            raise RuntimeError("the listener is broken")

        driver.register_event_listener(fail)
        with caplog.at_level(logging.ERROR):
            driver.emit_event(InventoryEvent("node1", "a device came"))
        assert "the listener is broken" in caplog.text
        assert "a device came" in caplog.text

    @pytest.mark.parametrize("thing", ["text", None, 5, object()])
    def test_what_is_no_event_is_a_value_error(self, driver: ComputeDriver, thing: Any) -> None:
        driver.register_event_listener(list[Event]().append)
        with pytest.raises(ValueError, match="not an event"):
            driver.emit_event(thing)

    def test_events_say_what_when_and_to_whom(self) -> None:
        event = LifecycleEvent("u1", Transition.POSTCOPY_STARTED, timestamp=12.5)
        assert event.get_timestamp() == event.timestamp == 12.5
        assert event.get_instance_uuid() == "u1"
        assert (event.get_transition(), event.get_name()) == (5, "Postcopy started")
        assert repr(event) == "<LifecycleEvent at 12.5: instance u1 postcopy started>"
        assert LifecycleEvent("u1", 99).get_name() == "Unknown"
        assert repr(Event(1.0)) == "<Event at 1.0>"
        assert "every node, no reason given" in repr(InventoryEvent())
        assert Event().timestamp > 1_600_000_000
