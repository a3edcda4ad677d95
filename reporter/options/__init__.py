"""Configuration: oslo.config files with Nova's names, so that an existing nova.conf works as it is.

Options of Nova that nothing here needs are ignored, and so are its other groups. Options of ours are in
``[reporter]`` and in a group of the driver's; what is misspelt there is an error, because silence would leave
the operator with a default.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from oslo_config import cfg

from drivers import BUILTIN, load_driver_class
from drivers import options as shared_options
from reporter.errors import ConfigurationError
from reporter.options.checks import check_names, check_values, unknown_names, wrong_value
from reporter.options.configuration import Configuration
from reporter.options.definitions import OWN_GROUPS, REPORTER_OPTIONS, list_opts, options_of_driver
from reporter.options.files import DEFAULT_CONFIG_FILE, find_files, read_file

__all__ = ["DEFAULT_CONFIG_FILE", "Configuration", "list_opts", "load_config"]


def load_config(
    config_files: Sequence[Path] = (),
    config_dirs: Sequence[Path] = (),
    driver: str | None = None,
    overrides: Mapping[tuple[str, str], object] | None = None,
) -> Configuration:
    """Read the configuration, register the options of the driver in it, and check every value.

    The options of ``[placement]`` are registered by :mod:`reporter.auth` when it needs them.

    :param config_files: oslo.config files, later ones win; none and no directories: /etc/placement-reporter/
        placement-reporter.conf where it exists
    :param config_dirs: directories whose ``*.conf`` are read after the files
    :param driver: goes before ``[reporter] driver``
    :param overrides: (group, option) → value, before everything else; what the command line says
    :raises ConfigurationError: a file cannot be read, a value is wrong, or an option of ours is misspelt
    :raises drivers.errors.DriverError: there is no such driver, or it cannot be imported
    """
    conf = Configuration()
    # By its name: an OptGroup object would carry values from one configuration into the next.
    conf.register_opts(REPORTER_OPTIONS, group="reporter")
    paths = find_files(config_files, config_dirs)
    conf.files = tuple(read_file(path) for path in paths)
    _parse(conf, paths)
    # Groups of config_source: oslo.config tells what is wrong in them, and goes on without the source.
    sources = [(group, name) for group, name in conf.registered() if group not in (None, "reporter")]
    chosen = dict(overrides or {})
    if driver is not None:
        chosen["reporter", "driver"] = driver
    _override(conf, {place: value for place, value in chosen.items() if place[0] == "reporter"})
    driver_class = load_driver_class(_driver_name(conf))
    shared_options.register(conf, driver_class)
    conf.read_where_used = {*sources, *driver_class.read_where_used}
    _register_overlays(conf)
    _override(conf, chosen)
    known = _own_names(conf)
    if unknown_names(conf, known):
        check_names(conf, _with_other_drivers(known))
    check_values(conf)
    return conf


def _parse(conf: Configuration, paths: Sequence[Path]) -> None:
    """Hand the files to oslo.config, which parses them once more."""
    arguments = [argument for path in paths for argument in ("--config-file", str(path))]
    try:
        conf(arguments, project="placement-reporter", default_config_files=[], default_config_dirs=[])
    except (cfg.Error, OSError) as error:
        # read_file has explained what is usual; this is a file that changed under way, or a remote source.
        raise ConfigurationError(
            f"the configuration cannot be read: {error}", "correct it and try again"
        ) from error


def _register_overlays(conf: Configuration) -> None:
    from reporter.overlays import OPTIONS  # noqa: PLC0415 - overlays import this module's siblings

    for group, options in OPTIONS.items():
        conf.register_opts(options, group=group)


def _override(conf: Configuration, chosen: Mapping[tuple[str, str], object]) -> None:
    for (group, name), value in chosen.items():
        try:
            conf.set_override(name, value, group=None if group == "DEFAULT" else group)
        except ValueError as error:
            raise ConfigurationError(f"[{group}] {name} cannot be {value}: {error}") from error


def _driver_name(conf: Configuration) -> str:
    """The name of the driver, which must be known before the rest can be checked."""
    try:
        return str(conf.reporter.driver)
    except (cfg.Error, ValueError) as error:
        raise wrong_value(conf, "reporter", "driver", error) from error


def _own_names(conf: Configuration) -> dict[str, set[str]]:
    """The names that each of our own groups may hold, as far as they are registered."""
    known: dict[str, set[str]] = {group: set() for group in OWN_GROUPS}
    for group, name in conf.registered():
        for place, written in conf.places_of(name, group):
            if place in known:
                known[place].add(written)
    return known


def _with_other_drivers(known: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """``known`` and what the drivers that are not in use would add."""
    names = {group: set(options) for group, options in known.items()}
    for driver in BUILTIN:
        for group, options in (options_of_driver(driver) or {}).items():
            names.setdefault(group, set()).update(option.dest for option in options)
    return names
