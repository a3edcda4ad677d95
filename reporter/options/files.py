"""Configuration files as they are written: which exist, and what each says, before any option is known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg, iniparser

from reporter.errors import ConfigurationError

DEFAULT_CONFIG_FILE = Path("/etc/placement-reporter/placement-reporter.conf")


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """What one file says.

    :ivar sections: group (``DEFAULT``, the others in lower case) → option as written → values, in their order
    """

    path: Path
    sections: Mapping[str, Mapping[str, Sequence[str]]]

    def value(self, group: str, name: str) -> str | None:
        """The text of an option, the last one where it stands more than once; None where it does not."""
        values = self.sections.get(group, {}).get(name)
        return values[-1] if values else None


def find_files(config_files: Sequence[Path], config_dirs: Sequence[Path]) -> list[Path]:
    """All files to read, in the order in which later ones win.

    :param config_files: may be empty together with ``config_dirs``: then the default file, where it exists
    :param config_dirs: of each, the ``*.conf`` by name
    :raises ConfigurationError: a directory cannot be read
    """
    if not config_files and not config_dirs:
        return [DEFAULT_CONFIG_FILE] if _exists(DEFAULT_CONFIG_FILE) else []
    return [*config_files, *(path for directory in config_dirs for path in _directory(directory))]


def _exists(path: Path) -> bool:
    """Whether it is there; also where it cannot be read, which is then told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _directory(path: Path) -> Iterator[Path]:
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise ConfigurationError(
            f"the configuration directory {path} cannot be read: {error.strerror}",
            "check the path after --config-dir and its permissions",
        ) from error
    return (entry for entry in entries if entry.suffix == ".conf" and not entry.name.startswith("."))


def read_file(path: Path) -> ConfigFile:
    """Read one file.

    :raises ConfigurationError: it is absent or unreadable, a pipe, not UTF-8, or has a line that is no
        assignment
    """
    try:
        if path.is_fifo():
            raise ConfigurationError(
                f"the configuration file {path} is a pipe", "name a file: oslo.config reads it once more"
            )
        return parse_file(path, path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"the configuration file {path} cannot be read: {error.strerror}",
            "check the path after --config-file and its permissions",
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the configuration file {path} is not UTF-8 (byte {error.start})", "save it as UTF-8"
        ) from error


def parse_file(path: Path, text: str) -> ConfigFile:
    """Parse the text of a file with oslo.config's own rules; ``path`` is for messages."""
    sections: dict[str, dict[str, list[str]]] = {}
    parser = cfg.ConfigParser(str(path), sections)
    try:
        iniparser.BaseParser.parse(parser, text.splitlines())
    except iniparser.ParseError as error:
        raise ConfigurationError(
            f"the configuration file {path} is wrong in line {error.lineno}: {error.msg}",
            "a line is a [group], an option = value, or a # comment; longer values go on in indented lines",
        ) from error
    merged: dict[str, dict[str, list[str]]] = {}
    for name, options in sections.items():
        group = merged.setdefault(section_name(name), {})
        for option, values in options.items():
            group.setdefault(option, []).extend(values)
    return ConfigFile(path, merged)


def section_name(group: str | None) -> str:
    """The key of a group in :attr:`ConfigFile.sections`; oslo.config finds groups in any case."""
    return "DEFAULT" if group in (None, "DEFAULT") else str(group).lower()
