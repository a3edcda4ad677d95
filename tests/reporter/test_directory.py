"""The state directory: files are replaced whole, one process writes, and every failure says which file."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reporter.errors import StateError, StateLocked
from reporter.state.directory import StateDirectory, default_state_path

HOLD = """
import sys, time
from pathlib import Path
from reporter.state.directory import StateDirectory
with StateDirectory(Path(sys.argv[1])).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return StateDirectory(tmp_path / "state")


def leftovers(state: StateDirectory) -> list[str]:
    return [each.name for each in state.path.rglob("*") if each.name.startswith(".")]


def test_reading_makes_nothing(state: StateDirectory) -> None:
    assert state.nodes() == []
    assert state.read(state.node_file("node", "ledger")) is None
    assert state.identity(state.node_file("node", "ledger")) is None
    state.delete(state.node_file("node", "ledger"))
    state.delete_node("node")
    assert not state.path.exists()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.dictionaries(st.text(max_size=5), json_values, max_size=4))
def test_content_comes_back(content: dict[str, Any], tmp_path: Path) -> None:
    state = StateDirectory(tmp_path)
    file = tmp_path / "some" / "file.json"
    state.write(file, content)
    assert state.read(file) == content
    assert leftovers(state) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20))
def test_any_name_of_a_node_has_files_of_its_own(tmp_path: Path, name: str) -> None:
    state = StateDirectory(tmp_path / os.urandom(8).hex())
    for kind in ("ledger", "snapshot"):
        file = state.node_file(name, kind)
        assert file.parent == state.path / "nodes"
        state.write(file, {})
    assert state.nodes() == [name]
    state.delete_node(name)
    assert list((state.path / "nodes").iterdir()) == []


@pytest.mark.parametrize("name", ["n" * 200, "..", "a/../../b", "with space", ".hidden", "düsseldorf"])
def test_awkward_names(state: StateDirectory, name: str) -> None:
    state.write(state.node_file(name, "ledger"), {"it": name})
    assert state.read(state.node_file(name, "ledger")) == {"it": name}
    assert state.nodes() == [name]


@pytest.mark.parametrize("failing", ["fsync", "replace", "mkstemp"])
def test_write_that_fails_leaves_the_old_content_and_nothing_else(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    file = state.node_file("node", "ledger")
    state.write(file, {"old": True})

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    where = {"fsync": "os.fsync", "replace": "pathlib.Path.replace", "mkstemp": "tempfile.mkstemp"}
    monkeypatch.setattr(where[failing], fail)
    with pytest.raises(StateError, match="No space left on device") as error:
        state.write(file, {"new": True})
    assert str(file) in error.value.what
    assert "--state-dir" in error.value.advice
    assert state.read(file) == {"old": True}
    assert leftovers(state) == []


def test_reader_never_sees_half_a_file(state: StateDirectory) -> None:
    file = state.node_file("node", "ledger")
    contents = [{"text": letter * 100_000} for letter in "ab"]
    state.write(file, contents[0])
    over = threading.Event()

    def write() -> None:
        for at in range(50):
            state.write(file, contents[at % 2])
        over.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not over.is_set():
        assert state.read(file) in contents
    writer.join()


def test_identity_tells_one_content_from_the_next(state: StateDirectory) -> None:
    file = state.node_file("node", "ledger")
    seen = set()
    for _ in range(5):
        state.write(file, {"always": "the same size"})
        seen.add(state.identity(file))
    assert state.identity(file) in seen
    assert len(seen) > 1


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "\ud800", "[" * 200_000])
def test_what_is_no_json_object_is_malformed(state: StateDirectory, text: str) -> None:
    file = state.node_file("node", "ledger")
    state.write(file, {})
    file.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(StateError) as error:
        state.read(file)
    assert str(file) in error.value.what
    assert error.value.advice


def test_directory_that_may_not_be_used(
    public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    state = StateDirectory(public_dir / "state")
    file = state.node_file("node", "ledger")
    state.write(file, {})
    file.chmod(0)
    (state.path / "nodes").chmod(0o555)
    with unprivileged():
        actions: list[Callable[[], object]] = [
            lambda: state.read(file),
            lambda: state.write(file, {}),
            lambda: state.delete(file),
            lambda: state.lock().__enter__(),
        ]
        for act in actions:
            with pytest.raises(StateError, match="Permission denied"):
                act()
    (state.path / "nodes").chmod(0)
    with unprivileged(), pytest.raises(StateError, match="Permission denied"):
        state.nodes()
    (state.path / "nodes").chmod(0o755)


def test_file_where_a_directory_should_be(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    state = StateDirectory(tmp_path / "state")
    actions: list[Callable[[], object]] = [
        state.nodes,
        lambda: state.write(state.node_file("node", "ledger"), {}),
        lambda: state.lock().__enter__(),
    ]
    for act in actions:
        with pytest.raises(StateError, match="state"):
            act()


# The lock


@pytest.fixture
def holder(state: StateDirectory) -> Any:
    """Another process that holds the lock until its stdin ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(state.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_lock_names_the_process_that_holds_it(state: StateDirectory, holder: Any) -> None:
    with pytest.raises(StateLocked) as error, state.lock():
        pass
    assert f"pid {holder.pid}" in error.value.what
    assert str(state.path) in error.value.what
    assert "--state-dir" in error.value.advice
    # It is for writers: others may read, and a caller of ``diff`` must not wait.
    assert state.nodes() == []


def test_lock_is_labelled_without_a_password(state: StateDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    url = "http://me:s3cret@placement.example:8778"
    monkeypatch.setattr(sys, "argv", ["/opt/reporter/__main__.py", "run", f"--placement={url}"])
    with state.lock():
        text = (state.path / "lock").read_text()
    assert text.endswith("(python -m reporter run --placement=http://placement.example:8778)\n")


def test_lock_ends_with_its_process_however_that_ends(state: StateDirectory, holder: Any) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with state.lock():
        text = (state.path / "lock").read_text()
    assert text.startswith(f"pid {os.getpid()} (")
    # What a longer text left is gone.
    assert str(holder.pid) not in text


def test_lock_is_against_other_parts_of_the_same_process_as_well(state: StateDirectory) -> None:
    with state.lock():
        with pytest.raises(StateLocked, match=f"pid {os.getpid()}"), StateDirectory(state.path).lock():
            pass
    with state.lock():
        pass


def test_lock_is_let_go_of_after_an_error(state: StateDirectory) -> None:
    with pytest.raises(ZeroDivisionError), state.lock():
        _ = 1 / 0
    with state.lock():
        pass


def test_lock_holds_without_its_label_where_the_disk_is_full(
    state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with state.lock():
        with pytest.raises(StateLocked, match="another process"), StateDirectory(state.path).lock():
            pass


# Where it is


def test_default_place() -> None:
    assert default_state_path({"STATE_DIRECTORY": "/a:/b"}, uid=0) == Path("/a")
    assert default_state_path({}, uid=0) == Path("/var/lib/placement-reporter")
    assert default_state_path({"XDG_STATE_HOME": "/x"}, uid=1000) == Path("/x/placement-reporter")
    for ignored in ({}, {"XDG_STATE_HOME": ""}, {"XDG_STATE_HOME": "x"}):
        assert default_state_path(ignored, uid=1000) == Path.home() / ".local/state/placement-reporter"


def test_files_can_be_read_by_people(state: StateDirectory) -> None:
    file = state.node_file("node", "ledger")
    state.write(file, {"b": 1, "a": [2]})
    assert json.loads(file.read_text("utf-8")) == {"a": [2], "b": 1}
