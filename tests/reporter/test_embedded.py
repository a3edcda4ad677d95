"""The embedded Placement: its database file, who may use it, and what is said when it cannot."""

from __future__ import annotations

import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import requests

pytest.importorskip("placement", reason="needs the embedded extra")

from reporter.embedded import EmbeddedPlacement, EmbeddedPlacementError

Unprivileged = Callable[[], AbstractContextManager[None]]

HEADERS = {"X-Auth-Token": "admin", "X-Roles": "admin,service", "OpenStack-API-Version": "placement 1.39"}


def names(placement: EmbeddedPlacement) -> list[str]:
    answer = requests.get(f"{placement.url}/resource_providers", headers=HEADERS, timeout=10)
    answer.raise_for_status()
    return [provider["name"] for provider in answer.json()["resource_providers"]]


def create(placement: EmbeddedPlacement, name: str) -> requests.Response:
    return requests.post(
        f"{placement.url}/resource_providers", json={"name": name}, headers=HEADERS, timeout=10
    )


@contextmanager
def running_elsewhere(database: Path, read_only: bool = False) -> Iterator[int]:
    """Another process that runs an embedded Placement on ``database``; its pid."""
    program = (
        "import sys\nfrom pathlib import Path\nfrom reporter.embedded import EmbeddedPlacement\n"
        f"with EmbeddedPlacement(Path(sys.argv[1]), read_only={read_only}):\n"
        "    print('up', flush=True)\n    sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin
    assert process.stdout
    try:
        assert process.stdout.readline() == "up\n"
        yield process.pid
    finally:
        process.stdin.close()
        process.wait(timeout=10)
        process.stdout.close()


def older_placement(database: Path) -> None:
    """A database with the schema of openstack-placement 4 (Ussuri), before it had consumer types."""
    import alembic.command
    from placement.db.sqlalchemy import migration

    from reporter.embedded.application import _Globals

    state = _Globals(database, durable=False)
    with state.in_place():
        alembic.command.upgrade(migration._alembic_config(), "b5c396305c25")


def test_answers_with_the_newest_version_placement_has() -> None:
    with EmbeddedPlacement() as placement:
        versions = requests.get(placement.url, headers=HEADERS, timeout=10).json()["versions"]
        assert re.fullmatch(r"1\.\d+", versions[0]["max_version"])
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/.{16,}", placement.url)


def test_reshaper_is_allowed_without_authentication() -> None:
    with EmbeddedPlacement() as placement:
        headers = HEADERS | {"OpenStack-API-Version": "placement 1.37"}
        uuid = create(placement, "node").json()["uuid"]
        body = {
            "inventories": {uuid: {"resource_provider_generation": 0, "inventories": {"VCPU": {"total": 4}}}},
            "allocations": {},
        }
        answer = requests.post(f"{placement.url}/reshaper", json=body, headers=headers, timeout=10)
        assert answer.status_code == 204, answer.text


def test_connections_are_kept_alive() -> None:
    with EmbeddedPlacement() as placement, requests.Session() as session:
        first = session.get(f"{placement.url}/traits", headers=HEADERS, stream=True, timeout=10)
        connection = first.raw.connection or first.raw._connection
        local = connection.sock.getsockname()
        assert first.content
        second = session.get(f"{placement.url}/traits", headers=HEADERS, stream=True, timeout=10)
        assert second.raw._connection.sock.getsockname() == local


def test_other_paths_of_the_port_are_not_found() -> None:
    with EmbeddedPlacement() as placement:
        origin = placement.url.rsplit("/", 1)[0]
        for path in ("", "/resource_providers", "/placement/traits"):
            assert requests.get(origin + path, headers=HEADERS, timeout=10).status_code == 404
        assert requests.get(f"{placement.url}x/traits", headers=HEADERS, timeout=10).status_code == 404


def test_data_stays_in_the_file(tmp_path: Path) -> None:
    database = tmp_path / "not yet there" / "50% #1?.sqlite"
    with EmbeddedPlacement(database) as placement:
        create(placement, "node")
    assert database.exists()
    with EmbeddedPlacement(database) as placement:
        assert names(placement) == ["node"]


def test_may_be_started_again_after_it_was_closed(tmp_path: Path) -> None:
    placement = EmbeddedPlacement(tmp_path / "placement.sqlite")
    with placement:
        create(placement, "node")
    with pytest.raises(RuntimeError):
        _ = placement.url
    with placement:
        placement.start()  # running already: nothing happens
        assert names(placement) == ["node"]
    placement.close()  # closed already: nothing happens


def test_closing_takes_no_time_and_frees_the_port() -> None:
    placement = EmbeddedPlacement()
    placement.start()
    url = placement.url
    before = time.monotonic()
    placement.close()
    assert time.monotonic() - before < 1
    with pytest.raises(requests.ConnectionError):
        requests.get(url, timeout=2)


def test_several_in_one_process_are_apart(tmp_path: Path) -> None:
    with (
        EmbeddedPlacement(tmp_path / "a.sqlite") as a,
        EmbeddedPlacement(tmp_path / "b.sqlite") as b,
        EmbeddedPlacement() as c,
    ):
        for placement, name in ((a, "in a"), (b, "in b"), (c, "in c")):
            create(placement, name)
        assert (names(a), names(b), names(c)) == (["in a"], ["in b"], ["in c"])
        b.close()
        assert (names(a), names(c)) == (["in a"], ["in c"])


def test_writers_at_once_get_no_error(tmp_path: Path) -> None:
    with EmbeddedPlacement(tmp_path / "a.sqlite") as a, EmbeddedPlacement(tmp_path / "b.sqlite") as b:
        failures: list[str] = []

        def write(placement: EmbeddedPlacement, writer: int) -> None:
            for number in range(10):
                answer = create(placement, f"{writer}-{number}")
                if answer.status_code != 200:
                    failures.append(answer.text)

        threads = [threading.Thread(target=write, args=((a, b)[n % 2], n)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert len(names(a)) == len(names(b)) == 30


def test_leaves_placement_of_the_process_as_it_was() -> None:
    from placement import db_api, policy

    manager, enforcer = db_api.placement_context_manager, policy._ENFORCER
    factory = manager._factory
    with EmbeddedPlacement() as placement:
        create(placement, "node")
        assert manager._factory is factory
        assert policy._ENFORCER is enforcer


def test_is_quiet(tmp_path: Path) -> None:
    program = (
        "import logging, requests\nlogging.basicConfig(level=logging.INFO)\n"
        "from reporter.embedded import EmbeddedPlacement\n"
        f"with EmbeddedPlacement() as placement:\n"
        f"    requests.get(placement.url + '/traits', headers={HEADERS}, timeout=10).raise_for_status()\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert (finished.stdout, finished.stderr) == ("", "")


class TestUpgrade:
    def test_an_older_schema_is_brought_up_to_date(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        older_placement(database)
        with sqlite3.connect(database) as connection:
            connection.execute(
                "INSERT INTO resource_providers (id, uuid, name, generation, root_provider_id) VALUES "
                "(1, 'b8a1d0a4-5e2b-4ee7-a3ac-d7ce6a4e0f6d', 'node', 7, 1)"
            )
        connection.close()
        with EmbeddedPlacement(database) as placement:
            assert names(placement) == ["node"]
            for path in ("/traits/HW_CPU_X86_AVX2", "/resource_classes/VCPU", "/usages?project_id=p"):
                requests.get(placement.url + path, headers=HEADERS, timeout=10).raise_for_status()

    def test_an_older_schema_is_read_without_upgrading_the_file(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        older_placement(database)
        before = database.read_bytes()
        with EmbeddedPlacement(database, read_only=True) as placement:
            assert names(placement) == []
        assert database.read_bytes() == before

    def test_a_newer_schema_is_refused(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with EmbeddedPlacement(database):
            pass
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")
        connection.close()
        with pytest.raises(EmbeddedPlacementError, match="newer openstack-placement") as caught:
            EmbeddedPlacement(database).start()
        assert "upgrade" in caught.value.advice


class TestReadOnly:
    def test_sees_the_data_and_leaves_it_alone(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with EmbeddedPlacement(database) as placement:
            create(placement, "node")
        before = database.read_bytes()
        with EmbeddedPlacement(database, read_only=True) as placement:
            assert names(placement) == ["node"]
            create(placement, "forgotten")
        assert database.read_bytes() == before

    def test_an_absent_file_is_an_empty_placement_and_stays_absent(self, tmp_path: Path) -> None:
        with EmbeddedPlacement(tmp_path / "placement.sqlite", read_only=True) as placement:
            assert names(placement) == []
        assert list(tmp_path.iterdir()) == []

    def test_runs_beside_a_writer_of_another_process(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with EmbeddedPlacement(database) as placement:
            create(placement, "node")
            with running_elsewhere(database, read_only=True):
                create(placement, "other")
                assert sorted(names(placement)) == ["node", "other"]

    def test_needs_no_permission_to_write(self, public_dir: Path, unprivileged: Unprivileged) -> None:
        database = public_dir / "placement.sqlite"
        with EmbeddedPlacement(database) as placement:
            create(placement, "node")
        database.chmod(0o444)
        public_dir.chmod(0o555)
        with unprivileged(), EmbeddedPlacement(database, read_only=True) as placement:
            assert names(placement) == ["node"]


class TestRefusals:
    def test_a_second_process_is_told_who_has_the_file(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with running_elsewhere(database) as pid:
            with pytest.raises(EmbeddedPlacementError, match=f"process {pid} ") as caught:
                EmbeddedPlacement(database).start()
            assert "--embedded=FILE" in caught.value.advice
        with EmbeddedPlacement(database):
            pass

    def test_a_second_one_of_this_process_is_refused(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with (
            EmbeddedPlacement(database),
            pytest.raises(EmbeddedPlacementError, match=f"process {os.getpid()} "),
        ):
            EmbeddedPlacement(database).start()

    def test_a_killed_process_leaves_no_lock(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with running_elsewhere(database) as pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        with EmbeddedPlacement(database):
            pass

    @pytest.mark.parametrize("read_only", [False, True])
    def test_not_sqlite(self, tmp_path: Path, read_only: bool) -> None:
        database = tmp_path / "notes.txt"
        database.write_text("buy milk\n" * 200)
        with pytest.raises(EmbeddedPlacementError, match="is not an SQLite database"):
            EmbeddedPlacement(database, read_only=read_only).start()
        assert database.read_text() == "buy milk\n" * 200

    @pytest.mark.parametrize("read_only", [False, True])
    def test_database_of_something_else(self, tmp_path: Path, read_only: bool) -> None:
        database = tmp_path / "other.sqlite"
        with sqlite3.connect(database) as connection:
            connection.execute("CREATE TABLE bookmarks (url TEXT)")
        connection.close()
        with pytest.raises(EmbeddedPlacementError, match="not one of openstack-placement"):
            EmbeddedPlacement(database, read_only=read_only).start()

    @pytest.mark.parametrize("read_only", [False, True])
    def test_directory(self, tmp_path: Path, read_only: bool) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(EmbeddedPlacementError, match="is a directory"):
            EmbeddedPlacement(tmp_path / "folder", read_only=read_only).start()

    def test_damaged(self, tmp_path: Path) -> None:
        database = tmp_path / "placement.sqlite"
        with EmbeddedPlacement(database):
            pass
        with database.open("r+b") as file:
            file.truncate(8192)
        with pytest.raises(EmbeddedPlacementError, match=re.escape(str(database))):
            EmbeddedPlacement(database).start()

    def test_file_without_permission_to_write(self, public_dir: Path, unprivileged: Unprivileged) -> None:
        database = public_dir / "placement.sqlite"
        with EmbeddedPlacement(database):
            pass
        (public_dir / "placement.sqlite.lock").chmod(0o666)
        database.chmod(0o444)
        with unprivileged(), pytest.raises(EmbeddedPlacementError, match="is read-only") as caught:
            EmbeddedPlacement(database).start()
        assert "writable" in caught.value.advice

    def test_directory_without_permission_to_write(
        self, public_dir: Path, unprivileged: Unprivileged
    ) -> None:
        public_dir.chmod(0o555)
        with unprivileged(), pytest.raises(EmbeddedPlacementError, match="Permission denied") as caught:
            EmbeddedPlacement(public_dir / "placement.sqlite").start()
        assert "writable" in caught.value.advice

    def test_file_without_permission_to_read(self, public_dir: Path, unprivileged: Unprivileged) -> None:
        database = public_dir / "placement.sqlite"
        with EmbeddedPlacement(database):
            pass
        database.chmod(0o000)
        with unprivileged(), pytest.raises(EmbeddedPlacementError, match="cannot be opened"):
            EmbeddedPlacement(database, read_only=True).start()

    def test_directory_without_permission_to_search(
        self, public_dir: Path, unprivileged: Unprivileged
    ) -> None:
        private = public_dir / "private"
        private.mkdir(0o700)
        (private / "placement.sqlite").touch()
        with unprivileged(), pytest.raises(EmbeddedPlacementError, match="cannot be opened"):
            EmbeddedPlacement(private / "placement.sqlite", read_only=True).start()

    def test_no_room_for_the_database(self, tmp_path: Path) -> None:
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        try:
            with pytest.raises(EmbeddedPlacementError, match=r"full|input/output error"):
                EmbeddedPlacement(tmp_path / "placement.sqlite").start()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    def test_extra_is_not_installed(self, tmp_path: Path) -> None:
        program = (
            "import sys\nsys.modules['placement'] = None\n"
            "from reporter.embedded import EmbeddedPlacement\n"
            "try:\n    EmbeddedPlacement().start()\n"
            "except Exception as error:\n    print(error.what); print(error.advice)\n"
        )
        finished = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
        )
        assert "needs openstack-placement, which is not installed" in finished.stdout
        assert "pip install 'placement-reporter[embedded]'" in finished.stdout
        assert finished.stderr == ""
