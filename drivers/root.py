"""The file system of a host: the only place of this package that opens the host's files.

Everything that reads a machine takes a :class:`HostRoot`, so a recorded machine (a directory with proc/ and
sys/) can stand for the real one. Three outcomes are kept apart: a file that is not there (:class:`Absent`),
one that cannot be read (:class:`HostReadError`), and one whose contents are not what they should be
(:class:`HostReadError` too, raised by whoever parses, through :func:`malformed`).
"""

from __future__ import annotations

import os
from pathlib import Path

from drivers.errors import Absent, HostReadError


def malformed(path: str, expected: str, found: str) -> HostReadError:
    """Return the error for a file that was read but says something else than it should.

    :param path: the file as the reader named it, e.g. ``/proc/meminfo``
    :param expected: what should stand there, e.g. ``a line 'MemTotal: N kB'``
    :param found: what stands there instead; long text is cut
    """
    shown = found.strip()
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return HostReadError(
        f"{path} is not as expected: wanted {expected}, found {shown!r}",
        f"look at {path}; nothing is reported from it until it reads as it should",
    )


class HostRoot:
    """The files below a root directory, named as on the host itself: ``read_text("proc/meminfo")``.

    :param path: ``/`` for this machine, or the directory of a recorded one
    """

    def __init__(self, path: str | os.PathLike[str] = "/") -> None:
        self.path = Path(path).absolute()
        self._real = os.path.realpath(self.path)
        self.is_this_machine = self._real == "/"

    def __repr__(self) -> str:
        return f"HostRoot({str(self.path)!r})"

    def locate(self, name: str) -> Path:
        """Return where the host's file ``name`` (with or without a leading slash) lies.

        :raises Absent: when a link of a recorded machine leads out of the recording: what it names was not
            recorded, and the file of that name on this machine is another one.
        """
        full = self.path / name.lstrip("/")
        if not self.is_this_machine:
            real = os.path.realpath(full)
            if real != self._real and not real.startswith(self._real + os.sep):
                raise Absent(f"{full} leads out of {self.path}", "record the file that it links to")
        return full

    def display(self, name: str) -> str:
        """Return the path to show to people: of this machine or inside the recording."""
        return str(self.path / name.lstrip("/"))

    def read_bytes(self, name: str) -> bytes:
        """Return the contents of a file.

        :raises Absent: it is not there
        :raises HostReadError: it is there but cannot be read (permissions, I/O error, a directory, a pipe)
        """
        full = self.locate(name)
        try:
            if full.is_fifo():  # of a recording gone wrong: nobody would ever write to it
                raise HostReadError(f"{full} is a pipe", "record the machine anew")
            return full.read_bytes()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Absent(f"{full} does not exist", "") from error
        except OSError as error:
            raise unreadable(full, error) from error

    def read_text(self, name: str) -> str:
        """Return the text of a file; bytes that are not UTF-8 become U+FFFD. Errors as :meth:`read_bytes`."""
        return self.read_bytes(name).decode("utf-8", errors="replace")

    def find_text(self, name: str) -> str | None:
        """Return the text of a file, None where there is no such file.

        :raises HostReadError: it is there but cannot be read
        """
        try:
            return self.read_text(name)
        except Absent:
            return None

    def read_int(self, name: str, base: int = 10) -> int:
        """Return the one number that a file holds, e.g. ``sys/bus/pci/devices/ADDRESS/numa_node``.

        :raises Absent: it is not there
        :raises HostReadError: it cannot be read, or does not hold a number
        """
        text = self.read_text(name)
        try:
            return int(text.strip(), base)
        except ValueError as error:
            raise malformed(self.display(name), f"a number (base {base})", text) from error

    def find_int(self, name: str, base: int = 10) -> int | None:
        """Return the one number that a file holds, None where there is none. Errors as :meth:`read_int`."""
        try:
            return self.read_int(name, base)
        except Absent:
            return None

    def list_dir(self, name: str) -> list[str]:
        """Return the sorted names of a directory's entries.

        :raises Absent: it is not there
        :raises HostReadError: it is there but cannot be listed
        """
        full = self.locate(name)
        try:
            return sorted(entry.name for entry in full.iterdir())
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Absent(f"{full} does not exist", "") from error
        except OSError as error:
            raise unreadable(full, error) from error

    def find_dir(self, name: str) -> list[str]:
        """Return the sorted names of a directory's entries, none where there is no such directory."""
        try:
            return self.list_dir(name)
        except Absent:
            return []

    def exists(self, name: str) -> bool:
        """Tell whether there is a file or directory of that name.

        :raises HostReadError: that cannot be told
        """
        try:
            self.locate(name).stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise unreadable(self.path / name.lstrip("/"), error) from error
        return True

    def read_link(self, name: str) -> str:
        """Return what a symbolic link points to, as it is written there.

        :raises Absent: there is no such link
        :raises HostReadError: it cannot be read
        """
        full = self.path / name.lstrip("/")
        try:
            return str(full.readlink())
        except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a NUL, which no name has
            raise Absent(f"{full} does not exist", "") from error
        except OSError as error:
            raise unreadable(full, error) from error

    def disk_usage(self, path: str) -> os.statvfs_result:
        """Return what statvfs(3) says of the file system that holds ``path``.

        :raises Absent: the path is not there
        :raises HostReadError: the file system does not answer
        """
        full = self.locate(path)
        try:
            # A Path has lost the slash at the end, which says that it must be a directory.
            return os.statvfs(f"{full}/" if path.endswith(("/", "/.")) else full)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Absent(f"{full} does not exist", "") from error
        except OSError as error:
            raise unreadable(full, error) from error


def unreadable(path: Path, error: OSError) -> HostReadError:
    """Return the error for a path that is there but cannot be read."""
    reason = error.strerror or str(error)
    advice = (
        "run as a user who may read it" if isinstance(error, PermissionError) else f"see why {path} fails"
    )
    return HostReadError(f"cannot read {path}: {reason}", advice)
