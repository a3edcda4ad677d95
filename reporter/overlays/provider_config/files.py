"""The directory of provider files: what is in it, and whether that is still what was read."""

from __future__ import annotations

import glob
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reporter.errors import ConfigurationError
from reporter.overlays.provider_config.document import ProviderConfig, parse_file

_MAX_SIZE = 64 * 1024 * 1024  # bytes, as [static] max_size has it

Signature = tuple[tuple[Path, object], ...]
"""Each file, and what changes when the file does."""


@dataclass(frozen=True, slots=True)
class ProviderFiles:
    """What all files say.

    :ivar warnings: what is ignored in them
    """

    configs: Sequence[ProviderConfig] = ()
    warnings: Sequence[str] = ()

    @staticmethod
    def signature(directory: Path) -> Signature:
        """The ``*.yaml`` of a directory, by name; nothing where there is none, or a file, as in Nova.

        :param directory: may be a pattern such as ``/etc/nova/*.d``, which stands for all that it matches
        :raises ConfigurationError: the directory is there and cannot be read
        """
        paths = sorted(path for each in _directories(directory) for path in _provider_files(each))
        return tuple((path, _identity(path)) for path in paths)

    @classmethod
    def read(cls, signature: Signature) -> ProviderFiles:
        """Read the files.

        :raises ConfigurationError: one of them cannot be used, or two name the same provider
        """
        configs: dict[str, ProviderConfig] = {}
        warnings: list[str] = []
        for path, _ in signature:
            found, remarks = parse_file(path, _read(path))
            warnings += remarks
            for config in found:
                if config.key in configs:
                    files = sorted({str(configs[config.key].path), str(path)})
                    raise ConfigurationError(
                        f"provider {config.key} is defined twice, in {' and '.join(files)}",
                        "join the definitions into one",
                    )
                configs[config.key] = config
        return cls(tuple(configs.values()), tuple(warnings))


def is_file(path: Path) -> bool:
    """Whether there is a file of that name; no where it cannot be told."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


def _directories(location: Path) -> list[Path]:
    name = str(location)
    if not glob.has_magic(name):
        return [location]
    return [Path(each) for each in glob.glob(name)]  # noqa: PTH207 - Path's matches hidden ones too


def _provider_files(directory: Path) -> list[Path]:
    try:
        return [path for path in directory.iterdir() if _is_provider_file(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise ConfigurationError(
            f"the provider files in {directory} cannot be listed: {error.strerror}",
            "correct [compute] provider_config_location, or the permissions of the directory",
        ) from error


def _is_provider_file(name: str) -> bool:
    return name.endswith(".yaml") and not name.startswith(".")


def _identity(path: Path) -> object:
    try:
        status = path.stat()
    except OSError as error:
        return error.errno
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(path: Path) -> str:
    try:
        # Opening a pipe would wait for somebody to write into it.
        regular = stat.S_ISREG(path.stat().st_mode)
        raw = b""
        if regular:
            with path.open("rb") as file:
                raw = file.read(_MAX_SIZE + 1)
    except OSError as error:
        raise ConfigurationError(
            f"the provider file {path} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    if not regular:
        raise ConfigurationError(
            f"the provider file {path} is not a file", "remove it, or let it name a file"
        )
    if len(raw) > _MAX_SIZE:
        raise ConfigurationError(f"the provider file {path} is larger than {_MAX_SIZE:,} bytes", "split it")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"the provider file {path} is not UTF-8 (byte {error.start})", "save it as UTF-8"
        ) from error
