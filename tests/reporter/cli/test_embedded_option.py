"""``--embedded[=FILE]``."""

from __future__ import annotations

from pathlib import Path

from tests.reporter.cli.commands import Cli, files_below, node


def test_data_and_state_stay_beside_the_file(cli: Cli, tmp_path: Path) -> None:
    cli.tree(node())
    file = tmp_path / "elsewhere" / "placement.sqlite"
    option = f"--embedded={file}"
    assert cli(option, "diff").code == 2
    assert not file.parent.exists(), "a diff makes nothing"
    assert cli("sync", option).code == 0
    assert (file.parent / "placement.sqlite.state" / "nodes" / "node.ledger.json").exists()
    assert not cli.state.exists()
    before = files_below(file.parent)
    assert cli("diff", option).code == 0
    assert cli("show", "--from", "placement", option).code == 0
    assert files_below(file.parent) == before


def test_its_state_is_apart_from_that_of_a_real_placement(cli: Cli) -> None:
    cli.tree(node())
    assert cli("--embedded", "sync").code == 0
    assert (cli.state / "embedded" / "placement.sqlite").exists()
    assert not (cli.state / "nodes").exists()
    assert cli("--embedded", "diff").code == 0


def test_a_file_that_is_no_database(cli: Cli, tmp_path: Path) -> None:
    cli.tree(node())
    file = tmp_path / "notes.txt"
    file.write_text("not a database " * 100, "utf-8")
    for command in ("diff", "sync"):
        cli(command, f"--embedded={file}").assert_explained(str(file))
    assert file.read_text("utf-8").startswith("not a database")
