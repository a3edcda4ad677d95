"""A PostgreSQL of our own in a directory, reached through a Unix socket there."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USER = "postgres"  # PostgreSQL refuses to run as root


class NoPostgres(Exception):
    """There is no PostgreSQL here, and it cannot be installed."""


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """A new database, and its URL for SQLAlchemy. Durable, as it would be in a cloud (fsync is on).

    :param directory: empty, and reachable by the user postgres where we are root
    :raises NoPostgres: neither installed nor to be had
    """
    programs = _programs()
    data, log = directory / "data", directory / "postgres.log"
    as_user = {}
    if os.getuid() == 0:
        as_user = {"user": _USER, "group": _USER, "extra_groups": []}
        shutil.chown(directory, _USER, _USER)
    subprocess.run(
        [programs / "initdb", "-D", data, "-A", "trust", "-U", "placement", "-E", "UTF8"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=directory,
        **as_user,  # type: ignore[call-overload]  # its keywords have types of their own
    )
    command = [programs / "postgres", "-D", data, "-k", directory, "-c", "listen_addresses="]
    with log.open("w") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output, cwd=directory, **as_user)  # type: ignore[call-overload]  # the same
    try:
        _wait(directory, server, log)
        yield f"postgresql+psycopg2://placement@/postgres?host={directory}"
    finally:
        server.send_signal(signal.SIGINT)  # ends the sessions, then itself
        server.wait(timeout=60)


def _programs() -> Path:
    found = _installed()
    if found is None and os.getuid() == 0 and shutil.which("apt-get"):
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for command in (["update", "-qq"], ["install", "-y", "-qq", "--no-install-recommends", "postgresql"]):
            subprocess.run(
                ["apt-get", *command],
                env=environment,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )
        found = _installed()
    if found is None:
        raise NoPostgres("PostgreSQL is not installed (as root on Debian: apt-get install postgresql)")
    return found


def _installed() -> Path | None:
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    # Debian keeps its programs out of PATH, in a directory for each release.
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda each: float(each.parent.name))
    return places[-1] if places else None


def _wait(directory: Path, server: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg2

    deadline = time.monotonic() + 30
    while True:
        try:
            psycopg2.connect(host=str(directory), user="placement", dbname="postgres").close()
        except psycopg2.OperationalError:
            if server.poll() is not None or time.monotonic() > deadline:
                raise NoPostgres(f"PostgreSQL did not start: {log.read_text()[-500:]}") from None
            time.sleep(0.05)
        else:
            return
