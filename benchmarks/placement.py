"""A real openstack-placement for the time of a run: gunicorn with 2 workers of 4 threads on PostgreSQL.

Where PostgreSQL or gunicorn cannot be had it is the embedded one, on SQLite, which bears one connection.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import postgres
from benchmarks.peers import ROOT
from reporter.embedded import EmbeddedPlacement

WORKERS, THREADS = 2, 4
_CONFIGURATION = """\
[DEFAULT]
log_file = {directory}/placement.log
[api]
auth_strategy = noauth2
[placement_database]
connection = {database}
"""


@dataclass(frozen=True, slots=True)
class Placement:
    """A running Placement.

    :ivar connections: how many requests it bears at once
    :ivar description: for people: what it runs on
    """

    url: str
    connections: int
    description: str


@contextmanager
def running(backend: str = "auto") -> Iterator[Placement]:
    """Start a Placement that is empty, and stop it.

    :param backend: ``postgresql``, ``sqlite``, or ``auto``: the first where it can be had
    """
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="placement-benchmarks-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        directory.chmod(0o755)
        reason = "as asked for"
        if backend != "sqlite":
            try:
                yield stack.enter_context(_on_postgres(directory))
            except postgres.NoPostgres as missing:
                if backend == "postgresql":
                    raise
                reason = str(missing)
            else:
                return
        embedded = stack.enter_context(EmbeddedPlacement())
        yield Placement(embedded.url, 1, f"embedded, SQLite, one connection ({reason})")


@contextmanager
def _on_postgres(directory: Path) -> Iterator[Placement]:
    _install()
    for_database = directory / "postgres"
    for_database.mkdir()
    with postgres.running(for_database) as database, (directory / "gunicorn.log").open("w") as log:
        text = _CONFIGURATION.format(directory=directory, database=database)
        (directory / "placement.conf").write_text(text)
        environment = {**os.environ, "OS_PLACEMENT_CONFIG_DIR": str(directory)}
        manage = "import sys; from placement.cmd.manage import main; sys.exit(main())"
        # The schema, then the standard traits and classes: before there are workers that race for it.
        for code in (manage, "import placement.wsgi.api"):
            command = [sys.executable, "-W", "ignore", "-c", code]
            command += ["--config-file", str(directory / "placement.conf"), "db", "sync"] * (code is manage)
            subprocess.run(command, env=environment, check=True, stdout=log, stderr=log)
        port = _free_port()
        options = ["-b", f"127.0.0.1:{port}", "-w", str(WORKERS), "-k", "gthread", "--threads", str(THREADS)]
        options += ["--keep-alive", "65", "--timeout", "600"]
        command = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "gunicorn",
            *options,
            "placement.wsgi.api:application",
        ]
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            url = f"http://127.0.0.1:{port}"
            _wait(url, server, directory / "gunicorn.log")
            yield Placement(url, 4, f"PostgreSQL, gunicorn with {WORKERS} workers x {THREADS} threads")
        finally:
            server.terminate()
            server.wait(timeout=60)


def _install() -> None:
    if all(importlib.util.find_spec(module) for module in ("gunicorn", "psycopg2")):
        return
    pip = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-e", ".[bench]"]
    if subprocess.run(pip, check=False, stdin=subprocess.DEVNULL, cwd=ROOT).returncode:
        raise postgres.NoPostgres("pip cannot install gunicorn and psycopg2-binary")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    # Each worker loads its routes and connects to the database at its first requests.
    request = urllib.request.Request(f"{url}/resource_providers", headers={"X-Auth-Token": "admin"})
    warm = 0
    while warm < WORKERS * 6:
        try:
            urllib.request.urlopen(request, timeout=10).close()
            warm += 1
        except OSError:  # refused, or slow to start; urllib's errors are among them
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Placement did not start: {log.read_text()[-1000:]}") from None
            time.sleep(0.1)
