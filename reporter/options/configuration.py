"""oslo.config's ConfigOpts, which knows besides which file says what."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from oslo_config import cfg

from reporter.options.files import ConfigFile, section_name


@dataclass(frozen=True, slots=True)
class Written:
    """What somebody wrote for an option, before it is converted.

    :ivar where: a path, or the name of an environment variable
    """

    text: str
    where: str


class Configuration(cfg.ConfigOpts):
    """The options of one run. Nothing is global: each :func:`reporter.options.load_config` makes another.

    :ivar files: what the configuration files say, later ones win
    :ivar read_where_used: (group, option) of those that only the driver checks, when it reads them
    """

    def __init__(self) -> None:
        super().__init__()
        self.files: Sequence[ConfigFile] = ()
        self.read_where_used: Collection[tuple[str, str]] = ()

    def get_location(self, name: str, group: str | None = None) -> cfg.LocationInfo | None:
        """Where the value of an option comes from, in oslo.config's terms.

        oslo.config names the last file that has the group at all; this names the file that has the option.
        """
        location = super().get_location(name, group)
        if location is not None and location.location is cfg.Locations.user:
            written = self.written(name, group)
            if written is not None:
                return cfg.LocationInfo(location.location, written.where)
        return location

    def written(self, name: str, group: str | None) -> Written | None:
        """What the environment, or else the last file that has the option, says; None where none does."""
        variable = f"OS_{group or 'DEFAULT'}__{name}".upper()
        if variable in os.environ:
            return Written(os.environ[variable], variable)
        for file in reversed(self.files):
            for where, old_name in self.places_of(name, group):
                value = file.value(where, old_name)
                if value is not None:
                    return Written(value, str(file.path))
        return None

    def option(self, name: str, group: str | None) -> cfg.Opt:
        """The definition of a registered option."""
        information: Any = self._get_opt_info(name, group)
        option: cfg.Opt = information["opt"]
        return option

    def places_of(self, name: str, group: str | None) -> list[tuple[str, str]]:
        """(group, name) where an option may be written: today's first, then those that are deprecated."""
        here = section_name(group)
        option = self.option(name, group)
        places = [(here, option.dest), (here, option.name)]
        for old in option.deprecated_opts:
            place = section_name(old.group) if old.group else here
            places += [(place, old.name or option.name), (place, (old.name or option.name).replace("-", "_"))]
        return list(dict.fromkeys(places))

    def registered(self) -> Iterator[tuple[str | None, str]]:
        """(group, option) of all registered options; the group is None for DEFAULT."""
        for name in self:
            if name in self._groups:
                yield from ((name, option) for option in self[name])
            else:
                yield None, name
