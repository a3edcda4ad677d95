"""What a host or a hypervisor has: drivers read it and write it into a provider tree.

Drivers are found by name: those of this package in :data:`BUILTIN`, others through the entry point group
``placement_reporter.drivers``. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

from drivers.errors import DriverNotLoadable, UnknownDriver

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from oslo_config import cfg

    from drivers.base import ComputeDriver

__all__ = [
    "BUILTIN",
    "ENTRY_POINT_GROUP",
    "DriverNotLoadable",
    "UnknownDriver",
    "installed_drivers",
    "load_driver",
    "load_driver_class",
]

BUILTIN: Mapping[str, str] = {
    "host": "drivers.host.driver:HostDriver",
    "libvirt": "drivers.libvirt.driver:LibvirtDriver",
    "static": "drivers.static.driver:StaticDriver",
}
ENTRY_POINT_GROUP = "placement_reporter.drivers"

# Modules that come with an extra of this package, and that extra.
EXTRAS: Mapping[str, str] = {"libvirt": "libvirt", "defusedxml": "libvirt"}


def installed_drivers() -> dict[str, EntryPoint]:
    """Return the drivers that other packages bring, by name."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - 20 ms that only look-ups need

    return {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}


def load_driver_class(name: str) -> type[ComputeDriver]:
    """Return the class of the driver called ``name``; a built-in one wins over an installed one.

    :raises UnknownDriver: there is none of that name; says which there are
    :raises DriverNotLoadable: it cannot be imported, or is not a :class:`drivers.base.ComputeDriver`
    """
    if name in BUILTIN:
        target = BUILTIN[name]
    else:
        installed = installed_drivers()
        if name not in installed:
            raise _unknown(name, [*BUILTIN, *installed])
        target = installed[name].value
    return _checked(name, target, _load(name, target))


def load_driver(name: str, conf: cfg.ConfigOpts, virtapi: object | None = None) -> ComputeDriver:
    """Return the driver called ``name``, its options registered in ``conf``.

    Errors as :func:`load_driver_class`, and:

    :raises DriverOptionError: an option of the driver's is wrong
    """
    from drivers import options  # noqa: PLC0415 - oslo.config takes 0.15 s to import

    driver_class = load_driver_class(name)
    options.register(conf, driver_class)
    driver = driver_class(conf, virtapi)
    driver.name = driver.name or name
    return driver


def missing_module(name: str, error: ImportError) -> DriverNotLoadable:
    """Return the error that says what to install so that driver ``name`` can be imported."""
    module = (error.name or "").partition(".")[0]
    extra = EXTRAS.get(module)
    if extra is not None:
        return DriverNotLoadable(
            f"driver {name!r} needs the Python module {module}",
            f"pip install 'placement-reporter[{extra}]'",
        )
    advice = (
        f"install the package that has {module}"
        if module
        else "see whether its package is installed completely"
    )
    return DriverNotLoadable(f"driver {name!r} cannot be imported: {error}", advice)


def _load(name: str, target: str) -> object:
    """Import ``module:attribute``; whatever a driver's module raises while it is imported is explained."""
    module_name, _, attribute = target.partition(":")
    try:
        loaded: object = importlib.import_module(module_name)
        for part in filter(None, attribute.split(".")):
            loaded = getattr(loaded, part)
    except ImportError as error:
        raise missing_module(name, error) from error
    except Exception as error:
        raise DriverNotLoadable(
            f"driver {name!r} ({target}) cannot be loaded: {type(error).__name__}: {error}",
            "report it to whoever maintains that driver, or choose another one",
        ) from error
    return loaded


def _checked(name: str, target: str, loaded: object) -> type[ComputeDriver]:
    from drivers.base import ComputeDriver  # noqa: PLC0415 - imported by whoever has loaded a driver

    if isinstance(loaded, type) and issubclass(loaded, ComputeDriver):
        return loaded
    raise DriverNotLoadable(
        f"driver {name!r} ({target}) is not a class derived from drivers.base.ComputeDriver",
        "correct the entry point of the package that brings it",
    )


def _unknown(name: str, existing: list[str]) -> UnknownDriver:
    # Nova's own spelling ("libvirt.LibvirtDriver") should find the right one too.
    nearest = difflib.get_close_matches(name.partition(".")[0].lower(), existing, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    return UnknownDriver(f"there is no driver {name!r}", f"{hint}drivers: {', '.join(sorted(set(existing)))}")
