"""What libvirt says, and which events become of it."""

import pytest

from drivers.events import InventoryEvent, LifecycleEvent, Transition
from drivers.libvirt.events import ConnectionClosed, ConnectionOpened, DeviceChanged, GuestChanged, event_of

UUID = "aaaaaaaa-0000-4000-8000-000000000001"


@pytest.mark.parametrize(
    "name",
    [
        "pci_0000_84_00_0",
        "mdev_c60cc60c_c60c_c60c_c60c_c60cc60cc60c_0000_06_00_0",
        "vdpa_vdpa0",
        "css_0_0_0023",
    ],
)
def test_a_device_that_can_be_inventory_asks_for_a_cycle(name):
    event = event_of(DeviceChanged(name, "created"), "host1")
    assert isinstance(event, InventoryEvent)
    assert event.nodename == "host1"
    assert event.reason == f"device {name} created"


@pytest.mark.parametrize("name", ["net_tap0_fe_16_3e_00_00_01", "block_vda", "usb_1_1", "computer"])
def test_devices_that_come_with_every_guest_ask_for_none(name):
    assert event_of(DeviceChanged(name, "created"), "host1") is None


def test_the_end_of_the_connection_asks_for_a_cycle():
    event = event_of(ConnectionClosed("libvirtd closed it"), None)
    assert isinstance(event, InventoryEvent)
    assert event.nodename is None
    assert event.reason == "the connection to libvirt ended: libvirtd closed it"


def test_a_libvirt_that_is_back_asks_for_a_cycle():
    event = event_of(ConnectionOpened(), "host1")
    assert isinstance(event, InventoryEvent)
    assert event.reason == "libvirt answers again"


@pytest.mark.parametrize(
    ("kind", "detail", "moved", "transition"),
    [
        (2, 0, False, Transition.STARTED),
        (3, 0, False, Transition.PAUSED),
        (3, 1, False, Transition.PAUSED),
        (3, 1, True, Transition.MIGRATION_COMPLETED),
        (3, 7, False, Transition.POSTCOPY_STARTED),
        (4, 0, False, Transition.RESUMED),
        (5, 0, False, Transition.STOPPED),
    ],
)
def test_what_happens_to_a_guest_is_told_and_changes_no_inventory(kind, detail, moved, transition):
    event = event_of(GuestChanged(UUID, kind, detail, moved), "host1")
    assert isinstance(event, LifecycleEvent)
    assert event.get_instance_uuid() == UUID
    assert event.get_transition() == transition


@pytest.mark.parametrize("kind", [0, 1, 6, 7, 8, 99])
def test_what_nova_has_no_word_for_is_not_told(kind):
    assert event_of(GuestChanged(UUID, kind, 0), "host1") is None
