"""Whatever is wrong: one line of what, one of what to do, exit code 1, nothing written, no traceback."""

from __future__ import annotations

import resource
import socket
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.functional.conftest import RealPlacement
from tests.reporter.cli.commands import Cli, files_below, node, run_process
from tests.reporter.cli.http_faults import answering, error_document, hanging


@pytest.fixture(params=["diff", "sync"])
def command(request: pytest.FixtureRequest) -> str:
    """Both look at all of the input."""
    return str(request.param)


# Configuration


def test_a_configuration_file_that_is_not_there(cli: Cli) -> None:
    cli("show", "--config-file", "/absent/file.conf").assert_explained("/absent/file.conf")


def test_a_configuration_file_that_cannot_be_read(
    cli: Cli, public_dir: Path, unprivileged: Callable[[], AbstractContextManager[None]]
) -> None:
    file = public_dir / "secret.conf"
    file.write_text("[DEFAULT]\n", "utf-8")
    file.chmod(0)
    cli.common = []
    assert cli("show").code == 0  # imports what it needs while it may
    with unprivileged():
        result = cli("show", "--config-file", str(file))
    result.assert_explained(str(file), "Permission denied")


@pytest.mark.parametrize(
    ("groups", "words"),
    [
        ({"reporter": {"drivr": "host"}}, ("drivr", "did you mean driver?")),
        ({"reporter": {"driver": "hots"}}, ("hots", "did you mean 'host'?")),
        ({"reporter": {"interval": "soon"}}, ("interval", "soon")),
        ({"static": {"paht": "x"}, "reporter": {"driver": "static"}}, ("paht", "did you mean path?")),
        ({"reporter": {"driver": "static"}}, ("[static] path",)),
        ({"DEFAULT": {"cpu_allocation_ratio": "-1"}}, ("cpu_allocation_ratio",)),
    ],
)
def test_options_that_are_wrong(cli: Cli, groups: dict[str, Any], words: tuple[str, ...]) -> None:
    cli.config(groups)
    cli("show").assert_explained(*words)


def test_no_placement_at_all(cli: Cli, command: str) -> None:
    cli.tree(node())
    cli(command).assert_explained("[placement]", "--embedded")


def test_an_authentication_that_does_not_exist(cli: Cli, command: str) -> None:
    cli.tree(node(), placement={"auth_type": "pasword"})
    cli(command).assert_explained("no authentication 'pasword'", "usual ones: password")


# Documents of the static driver


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"providers": [{"name": "a", "parent": "b"}]}, ("no provider 'b'",)),
        ({"providers": [{"name": "a", "parent": "b"}, {"name": "b", "parent": "a"}]}, ("below",)),
        ({"providers": [{"name": "a"}, {"name": "a"}]}, ("'a'",)),
        ({"providers": [{"name": "a", "inventory": {"vCPU": 1}}]}, ("vCPU",)),
        ({"providers": [{"name": "a", "traits": ["NO_SUCH"]}]}, ("NO_SUCH",)),
        ({"providers": [{"name": "a", "inventory": {"VCPU": 0}}]}, ("VCPU", "total")),
        ({"providers": [{"name": "a", "inventory": {"VCPU": -1}}]}, ("VCPU", "total")),
        ({"providers": [{"name": "a", "inventory": {"VCPU": {"total": 1, "reserved": 2}}}]}, ("reserved",)),
        (
            {"providers": [{"name": "a", "inventory": {"VCPU": {"total": 1, "allocation_ratio": 0}}}]},
            ("ratio",),
        ),
        ({"providers": [{"name": "a", "inventory": {"VCPU": "many"}}]}, ("VCPU",)),
        ({"providers": {"a": 1}}, ("providers",)),
        (["a"], ("mapping",)),
    ],
)
def test_documents_that_are_wrong(cli: Cli, document: Any, words: tuple[str, ...]) -> None:
    import yaml

    cli.tree(node())
    (cli.directory / "tree.yaml").write_text(yaml.safe_dump(document), "utf-8")
    for each in ("show", "sync"):
        cli(each).assert_explained(*words)


@pytest.mark.parametrize(
    "content",
    [
        b"providers: \xff\xfe",
        b"providers: [",
        b"!!python/object/apply:os.system ['touch /tmp/executed']",
        b"a: &a [*a]",
    ],
)
def test_documents_that_cannot_be_parsed(cli: Cli, content: bytes) -> None:
    cli.tree(node())
    (cli.directory / "tree.yaml").write_bytes(content)
    cli("show").assert_explained("tree.yaml")
    assert not Path("/tmp/executed").exists()


def test_a_document_that_is_too_large(cli: Cli) -> None:
    cli.tree(node(), static={"max_size": 100})
    (cli.directory / "tree.yaml").write_text("#" * 101, "utf-8")
    cli("show").assert_explained("max_size")


# Placement


@pytest.fixture
def unwritten(cli: Cli) -> Cli:
    """Asserts afterwards that the state directory holds nothing but its lock."""
    cli.tree(node())
    return cli


def _nothing_written(cli: Cli) -> None:
    assert files_below(cli.state).keys() <= {"lock"}


def test_placement_is_down(unwritten: Cli, command: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    unwritten("--placement", url, command).assert_explained("no answer", "check that Placement is up")
    _nothing_written(unwritten)


HTML = "<html><body>Welcome to nginx!</body></html>"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"status": 200, "body": HTML, "content_type": "text/html"}, ("text/html",)),
        ({"status": 404, "body": HTML, "content_type": "text/html"}, ("404", "Placement")),
        ({"status": 200, "body": '{"resource_providers": [{'}, ("JSON",)),
        ({"status": 200, "body": '{"versions": []}'}, ("resource_providers",)),
        ({"status": 302, "Location": "http://127.0.0.1:1/login"}, ("redirected", "/login")),
        ({"status": 401, "body": error_document(401)}, ("401", "credentials")),
        ({"status": 403, "body": error_document(403)}, ("403", "role")),
        (
            {"status": 406, "body": error_document(406, min_version="1.0", max_version="1.30")},
            ("1.0 to 1.30", "upgrade"),
        ),
        ({"status": 500, "body": error_document(500)}, ("500",)),
        ({"status": 503, "body": HTML, "content_type": "text/html", "Retry_After": "7"}, ("503",)),
    ],
)
def test_placement_answers_something_else(
    unwritten: Cli, command: str, answer: dict[str, Any], words: tuple[str, ...]
) -> None:
    with answering(**answer) as url:
        unwritten("--placement", url, command).assert_explained(*words)
    _nothing_written(unwritten)


def test_placement_does_not_answer_in_time(cli: Cli) -> None:
    with hanging() as url:
        cli.tree(node(), placement={"auth_type": "none", "endpoint_override": url, "timeout": 1})
        started = time.monotonic()
        cli("diff").assert_explained("no answer")
    assert time.monotonic() - started < 10


@pytest.mark.parametrize("url", ["not a url", "ftp://127.0.0.1", "http://", "127.0.0.1:80"])
def test_what_is_no_url(cli: Cli, url: str) -> None:
    cli.tree(node())
    cli("diff", "--placement", url).assert_explained(url)


# The state directory


def test_a_state_directory_that_cannot_be_written(
    placed: Cli,
    placement: RealPlacement,
    public_dir: Path,
    unprivileged: Callable[[], AbstractContextManager[None]],
) -> None:
    placed.tree(node())
    assert placed("diff").code == 2  # imports what it needs while it may
    document, config = public_dir / "tree.yaml", public_dir / "test.conf"
    document.write_text("providers: [{name: node}]\n", "utf-8")
    config.write_text(f"[reporter]\ndriver = static\n[static]\npath = {document}\n", "utf-8")
    state = public_dir / "state"
    state.mkdir(mode=0o555)
    placed.common = ["--placement", placement.url, "--config-file", str(config), "--state-dir", str(state)]
    with unprivileged():
        refused = placed("sync")
    refused.assert_explained(str(state), "--state-dir")
    assert placement.tree() == {}


def test_a_state_directory_that_is_a_file(placed: Cli, tmp_path: Path) -> None:
    placed.tree(node())
    placed.common += ["--state-dir", str(tmp_path / "tree.yaml")]
    placed("sync").assert_explained("tree.yaml")


def test_a_disk_that_is_full(placed: Cli, placement: RealPlacement) -> None:
    """What is about to be owned is written first: where that fails, nothing is sent."""
    placed.tree(node())

    def no_room() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    result = run_process([*placed.common, "sync"], preexec_fn=no_room)
    result.assert_explained("cannot write", "--state-dir")
    assert placement.tree() == {}


def test_a_ledger_that_is_garbage(placed: Cli) -> None:
    placed.tree(node())
    placed("sync")
    (placed.state / "nodes" / "node.ledger.json").write_text('{"format_version": 1, "node"', "utf-8")
    for each in ("diff", "sync", "show"):
        placed(each).assert_explained("node.ledger.json")
