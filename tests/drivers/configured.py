"""Configurations for the tests of drivers."""

from __future__ import annotations

from pathlib import Path

from oslo_config import cfg

from drivers import load_driver_class, options


def make_conf(directory: Path, text: str = "", driver: str | None = None) -> cfg.ConfigOpts:
    """A configuration read from a file in ``directory``, which is state_path too unless ``text`` sets it.

    :param driver: the driver whose options are registered beside the shared ones
    """
    path = directory / "reporter.conf"
    state_path = "" if "state_path" in text else f"state_path = {directory}\n"
    path.write_text(f"[DEFAULT]\n{state_path}{text}")
    conf = cfg.ConfigOpts()
    options.register(conf, load_driver_class(driver) if driver else None)
    conf(["--config-file", str(path)], project="placement-reporter")
    return conf
