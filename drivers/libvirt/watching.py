"""Hearing what libvirt says unasked: its event loop, and the callbacks of a connection.

The loop is libvirt's own, one a process, in a thread of its own. Callbacks run in that thread: they only
hand on what they heard. The module libvirt is handed in: connection.py is its only importer.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from drivers.libvirt.events import ConnectionClosed, DeviceChanged, GuestChanged, Heard

LOG = logging.getLogger(__name__)
Sink = Callable[[Heard], object]

# A daemon that does not answer three probes, five seconds apart, is gone: the connection is closed and we
# hear of it.
_KEEPALIVE_SECONDS, _KEEPALIVE_PROBES = 5, 3

# virConnectCloseReason (libvirt-common.h) but for CLIENT: when we close it ourselves, that is no news.
_CLOSE_REASONS = {
    0: "an input or output error",
    1: "libvirtd closed it",
    2: "libvirtd did not answer for some time",
}
# virNodeDeviceEventLifecycleType (libvirt-nodedev.h); what is merely defined is not there yet.
_DEVICE_EVENTS = {0: "created", 1: "deleted"}
_LOOP_PAUSE = 1.0  # seconds, after an error that may last
_lock = threading.Lock()
_started = False


def start_loop(libvirt: Any) -> None:
    """Run libvirt's event loop, if it does not run yet. Only connections opened after this are heard."""
    global _started  # noqa: PLW0603 - libvirt has one event loop a process
    with _lock:
        if _started:
            return
        libvirt.virEventRegisterDefaultImpl()
        # The loop sleeps until something happens; a timer lets it see connections that are opened later.
        libvirt.virEventAddTimeout(1000, lambda *_: None, None)
        threading.Thread(target=_run_loop, args=(libvirt,), name="libvirt-events", daemon=True).start()
        _started = True


def _run_loop(libvirt: Any) -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            LOG.warning("libvirt's event loop: %s", error)
            time.sleep(_LOOP_PAUSE)


def register(libvirt: Any, connection: Any, sink: Sink) -> Callable[[], None]:
    """Have ``sink`` called with what a connection says; what its driver cannot tell is logged.

    :return: what ends that. Without it a connection that is closed stays open: its callbacks hold it.
    """

    def guest(_connection: Any, domain: Any, event: int, detail: int, _opaque: object) -> None:
        moved = (
            event == libvirt.VIR_DOMAIN_EVENT_SUSPENDED
            and detail == libvirt.VIR_DOMAIN_EVENT_SUSPENDED_MIGRATED
            and _has_moved(libvirt, domain)
        )
        sink(GuestChanged(domain.UUIDString(), event, detail, moved))

    def device(_connection: Any, changed: Any, event: int, _detail: int, _opaque: object) -> None:
        sink(DeviceChanged(changed.name(), _DEVICE_EVENTS.get(event, "updated")))

    def updated(_connection: Any, changed: Any, _opaque: object) -> None:
        sink(DeviceChanged(changed.name(), "updated"))

    def closed(_connection: Any, reason: int, _opaque: object) -> None:
        if reason in _CLOSE_REASONS:
            sink(ConnectionClosed(_CLOSE_REASONS[reason]))

    guests = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
    devices, updates = libvirt.VIR_NODE_DEVICE_EVENT_ID_LIFECYCLE, libvirt.VIR_NODE_DEVICE_EVENT_ID_UPDATE

    def hear_device(event: int, callback: Callable[..., None]) -> Callable[[], object]:
        number = connection.nodeDeviceEventRegisterAny(None, event, callback, None)
        return lambda: connection.nodeDeviceEventDeregisterAny(number)

    def hear_guest() -> Callable[[], object]:
        number = connection.domainEventRegisterAny(None, guests, guest, None)
        return lambda: connection.domainEventDeregisterAny(number)

    def hear_end() -> Callable[[], object]:
        connection.registerCloseCallback(closed, None)
        return connection.unregisterCloseCallback  # type: ignore[no-any-return]

    def keep_alive() -> None:
        connection.setKeepAlive(_KEEPALIVE_SECONDS, _KEEPALIVE_PROBES)

    wanted: list[tuple[str, Callable[[], Callable[[], object] | None]]] = [
        ("guests", hear_guest),
        ("devices", lambda: hear_device(devices, device)),
        ("changes of devices", lambda: hear_device(updates, updated)),
        ("the end of the connection", hear_end),
        ("a daemon that died", keep_alive),
    ]
    undo: list[Callable[[], object]] = []
    for what, subscribe in wanted:
        try:
            if (ended_by := subscribe()) is not None:
                undo.append(ended_by)
        except libvirt.libvirtError as error:
            LOG.info("libvirt will not tell of %s: %s", what, error)

    def unregister() -> None:
        for each in undo:
            try:
                each()
            except libvirt.libvirtError as error:  # libvirtd has gone; on our side it is done
                LOG.debug("libvirt: %s", error)

    return unregister


def _has_moved(libvirt: Any, domain: Any) -> bool:
    """Tell whether a guest suspended for its migration has left; libvirt says so of failed ones too."""
    try:
        job = domain.jobInfo()[0]
        if job == libvirt.VIR_DOMAIN_JOB_NONE:
            return not domain.isActive()
        return bool(job == libvirt.VIR_DOMAIN_JOB_COMPLETED)
    except libvirt.libvirtError as error:
        return bool(error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN)
