"""Puts the parts of a command together: configuration, driver, Placement, state directory, reporter."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from drivers import load_driver
from reporter.errors import ConfigurationError
from reporter.options import Configuration, load_config
from reporter.settings import Settings
from reporter.state.directory import StateDirectory, default_state_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from keystoneauth1.adapter import Adapter

    from drivers.base import ComputeDriver
    from reporter.placement.client import PlacementClient
    from reporter.sync import Reporter
    from reporter.wish import Overlay

LOG = logging.getLogger(__name__)

_CLEANUP = 0.8  # seconds that a driver has to let go of the host; with _GRACE, less than two


class Wiring:
    """The parts, each made when it is first asked for; a context manager that ends them in reverse order.

    :param arguments: of the command line
    :param writing: the command writes, and the state directory is locked while it lasts. Otherwise nothing is
        locked or written, and an embedded Placement is a copy of its file.
    :param stopping: once it is set, the client sends no further request
    """

    def __init__(
        self,
        arguments: argparse.Namespace,
        *,
        writing: bool = False,
        stopping: threading.Event | None = None,
    ) -> None:
        self._arguments = arguments
        self._writing = writing
        self._stopping = stopping
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        try:
            if self._writing:
                self._closing.enter_context(self.state.lock())
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.close()

    @cached_property
    def conf(self) -> Configuration:
        """The configuration."""
        arguments = self._arguments
        return load_config(arguments.config_file, arguments.config_dir, driver=arguments.driver)

    @cached_property
    def driver(self) -> ComputeDriver:
        """The driver, ready."""
        driver = load_driver(self.conf.reporter.driver, self.conf)
        if self._stopping is not None:
            # The service will listen; libvirt is heard on connections alone that were opened for it.
            driver.register_event_listener(lambda _event: None)
        driver.init_host(self.conf.host)
        self._closing.callback(_clean_up, driver, self.conf.host)
        return driver

    @cached_property
    def nodes(self) -> list[str]:
        """The names of the driver's nodes, or the one that ``--node`` selects."""
        return select_nodes(self.driver, self._arguments.node)

    def current_nodes(self) -> list[str]:
        """The same, asked anew; there may be none for the moment."""
        node = self._arguments.node
        return [each for each in self.driver.get_available_nodes(refresh=True) if node in (None, each)]

    @cached_property
    def state(self) -> StateDirectory:
        """The state directory; that of an embedded Placement lies beside its file."""
        database = self._database
        return StateDirectory(self._state_path if database is None else Path(f"{database}.state"))

    @cached_property
    def settings(self) -> Settings:
        """How the reporter is to work."""
        settings = Settings.from_conf(self.conf)
        # SQLite answers two writers at once with an error.
        return settings if self._database is None else replace(settings, connections=1)

    @cached_property
    def client(self) -> PlacementClient:
        """The Placement that an option, or else the configuration, names."""
        from reporter.placement.client import PlacementClient  # noqa: PLC0415 - 0.2 s that 'show' does without

        adapter, label = self.adapter_and_label()
        if self._stopping is None:
            return PlacementClient(adapter, label)
        from reporter.service.stopping import StoppableClient  # noqa: PLC0415 - the service alone

        return StoppableClient(adapter, label, self._stopping)

    @cached_property
    def overlays(self) -> Sequence[Overlay]:
        """What is merged over the driver's tree."""
        from reporter.overlays import load_overlays  # noqa: PLC0415 - PyYAML, which not every command needs

        return load_overlays(self.conf)

    @cached_property
    def reporter(self) -> Reporter:
        """The reporter of all these."""
        from reporter.sync import Reporter  # noqa: PLC0415 - 'show' does without

        driver, client = self.driver, self.client
        reporter = Reporter(driver, client, self.state, self.settings, self.overlays)
        self._closing.callback(reporter.close)
        return reporter

    def adapter_and_label(self) -> tuple[Adapter, str | None]:
        """A keystoneauth1 adapter, and the name under which snapshots of that Placement are kept."""
        from reporter import auth  # noqa: PLC0415 - keystoneauth1 takes 0.2 s

        arguments = self._arguments
        if self._database is not None:
            from reporter.embedded import EmbeddedPlacement  # noqa: PLC0415 - an extra

            placement = EmbeddedPlacement(self._database, read_only=not self._writing)
            self._closing.enter_context(placement)
            # Its URL is another at each start.
            return auth.adapter_from_url(placement.url), f"embedded:{self._database}"
        if arguments.placement is not None:
            return auth.adapter_from_url(arguments.placement), None
        if arguments.os_cloud is not None:
            return auth.adapter_from_cloud(arguments.os_cloud), None
        return auth.adapter_from_conf(self.conf), None

    @property
    def _state_path(self) -> Path:
        chosen = self._arguments.state_dir or self.conf.reporter.state_dir
        return Path(chosen).expanduser().absolute() if chosen else default_state_path()

    @property
    def _database(self) -> Path | None:
        """The file of the embedded Placement; None where it is not asked for."""
        chosen = self._arguments.embedded
        if chosen is None:
            return None
        file = Path(chosen).expanduser() if chosen else self._state_path / "embedded" / "placement.sqlite"
        return file.absolute()


def _clean_up(driver: ComputeDriver, host: str) -> None:
    """Let the driver let go; one that hangs is left behind."""

    def clean_up() -> None:
        try:
            driver.cleanup_host(host)
        except Exception:
            LOG.warning("The driver failed to let go of the host", exc_info=True)

    thread = threading.Thread(target=clean_up, name="cleanup", daemon=True)
    thread.start()
    thread.join(_CLEANUP)
    if thread.is_alive():
        LOG.warning("The driver does not let go of the host; leaving it behind")


def select_nodes(driver: ComputeDriver, node: str | None) -> list[str]:
    """The driver's nodes, or that one of them.

    :raises ConfigurationError: the driver has no such node, or none at all
    """
    nodes = list(driver.get_available_nodes(refresh=True))
    if node is None:
        if not nodes:
            raise ConfigurationError("the driver has no nodes", "check the driver's options")
        return nodes
    if node not in nodes:
        some = ", ".join(nodes[:10]) + (f" and {len(nodes) - 10} more" if len(nodes) > 10 else "")
        raise ConfigurationError(
            f"the driver has no node {node!r}",
            f"it has {some}; --node selects one of them, it does not rename" if nodes else "it has none",
        )
    return [node]
