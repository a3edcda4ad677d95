"""What may be written on the command line. Options stand before or after the command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from reporter.errors import UsageError

_USAGE = "placement-reporter COMMAND [OPTION ...]"
_FORMATS = ("text", "json", "yaml")
_DESCRIPTION = """\
Reports what this host has to OpenStack Placement: a tree of resource providers with inventories, traits and
aggregates. Start with 'placement-reporter show' (needs no Placement), then 'diff', then 'sync'."""
_EPILOG = """\
exit codes: 0 done, or nothing to change; 1 an error; 2 'diff' or 'audit' found something; 3 'sync' done, but
something is held back. Where no option names a Placement, [placement] of the configuration does."""


class _Parser(argparse.ArgumentParser):
    """argparse, but wrong usage is an error like any other: 1, since 2 says that things differ."""

    def error(self, message: str) -> NoReturn:
        raise _usage_error(message, f"'{self.prog} --help' shows what there is")


def _usage_error(what: str, advice: str) -> UsageError:
    from reporter.errors import UsageError  # noqa: PLC0415 - imports what --help does without

    return UsageError(what, advice)


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of a command, checked as far as they can be without looking at anything.

    :return: has ``target``, the ``module:function`` to call with it
    :raises reporter.errors.UsageError: not what there is
    """
    _refuse_empty(argv)
    # argparse would take a command after a bare --embedded for the FILE.
    arguments = _parser().parse_args(["--embedded=" if each == "--embedded" else each for each in argv])
    for name in ("config_file", "config_dir"):
        setattr(arguments, name, [*getattr(arguments, f"{name}_before"), *getattr(arguments, name, [])])
    arguments.verbose = arguments.verbose_before + getattr(arguments, "verbose", 0)
    arguments.format = arguments.format or "text"
    _check(arguments)
    return arguments


def _refuse_empty(argv: Sequence[str]) -> None:
    """Refuse what a script passes whose variable is unset: an empty path is this directory."""
    for before, each in pairwise(["", *argv]):
        if not each:
            where = f" after {before}" if before.startswith("-") else ""
            raise _usage_error(f"there is an empty argument{where}", "give it a value, or leave it out")
        flag, equals, value = each.partition("=")
        if flag.startswith("--") and equals and not value:
            raise _usage_error(f"{flag} has an empty value", "give it a value, or leave it out")


def _check(arguments: argparse.Namespace) -> None:
    chosen = {
        "--embedded": arguments.embedded is not None,
        "--placement": arguments.placement is not None,
        "--os-cloud": arguments.os_cloud is not None,
    }
    given = [name for name, is_given in chosen.items() if is_given]
    if len(given) > 1:
        raise _usage_error(f"{' and '.join(given)} name different Placements", "give one of them")
    if arguments.format not in arguments.formats:
        raise _usage_error(
            f"{arguments.command} has no --format {arguments.format}",
            f"choose {', '.join(arguments.formats)}",
        )


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        "placement-reporter",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    _common_options(parser, before=True)
    commands = parser.add_subparsers(title="commands", dest="command", metavar="COMMAND", required=True)
    detect = _command(commands, "detect", "print the facts of a machine: CPUs, memory, NUMA, PCI devices")
    detect.add_argument(
        "--sysroot",
        metavar="DIR",
        help="a recorded machine: a directory with proc/ and sys/; default: this one",
    )
    show = _command(commands, "show", "print a provider tree")
    show.add_argument(
        "--from",
        dest="origin",
        choices=("driver", "placement"),
        default="driver",
        help="driver (the default): what the host has, no Placement needed; placement: what Placement has",
    )
    diff = _command(
        commands, "diff", "print what a sync would change, and write nothing", formats=(*_FORMATS, "markdown")
    )
    diff.add_argument("--out", metavar="FILE", type=Path, help="save the plan, for 'sync --plan FILE'")
    sync = _command(commands, "sync", "make Placement what it should be: one cycle")
    sync.add_argument(
        "--plan", metavar="FILE", type=Path, help="make exactly the plan that 'diff --out' saved, or refuse"
    )
    sync.add_argument(
        "--adopt", action="store_true", help="take over a root provider that exists and that we did not make"
    )
    sync.add_argument("--force", action="store_true", help="make changes that would be held back")
    _command(commands, "run", "sync again and again, at an interval: the service")
    explain = _command(commands, "explain", "print where each value of a provider comes from, and what lost")
    explain.add_argument("provider", metavar="PROVIDER", help="name or uuid")
    explain.add_argument(
        "field",
        metavar="FIELD",
        nargs="?",
        help="VCPU, VCPU.allocation_ratio, traits, a trait, an aggregate; default: all",
    )
    _command(
        commands, "audit", "print what is wrong in Placement around our nodes: orphans, clashes, bad records"
    )
    adopt = _command(
        commands,
        "adopt",
        "take over a provider that we did not make, from the next sync on",
        target="reporter.cli.ownership:adopt",
    )
    adopt.add_argument("named", metavar="NODE", help="name of a root provider")
    forget = _command(
        commands, "forget", "drop what we know of a node", target="reporter.cli.ownership:forget"
    )
    forget.add_argument("named", metavar="NODE", help="name of a node")
    forget.add_argument(
        "--delete", action="store_true", help="delete its providers in Placement first, if unused"
    )
    return parser


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import version  # noqa: PLC0415 - 10 ms that only --version needs

        print(f"placement-reporter {version('placement-reporter')}")  # noqa: T201 - what was asked for
        parser.exit()


def _command(
    commands: argparse._SubParsersAction[_Parser],
    name: str,
    summary: str,
    formats: Sequence[str] = _FORMATS,
    target: str | None = None,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        prog=f"placement-reporter {name}",
        usage=f"placement-reporter {name} [OPTION ...]",
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        allow_abbrev=False,
    )
    _common_options(parser, before=False)
    parser.set_defaults(target=target or f"reporter.cli.{name}:{name}", formats=formats)
    return parser


def _common_options(parser: argparse.ArgumentParser, *, before: bool) -> None:
    """The options of all commands.

    :param before: the command, where they have defaults; after it, only what is given counts, and what may be
        given again and again is kept apart, since argparse would forget what stood before
    """
    group = parser.add_argument_group("common options (before or after the command)")

    def add(flag: str, short: str | None = None, **keywords: Any) -> None:
        name = flag.removeprefix("--").replace("-", "_")
        repeated = {"append": [], "count": 0}.get(str(keywords.get("action")))
        if repeated is not None and before:
            keywords |= {"dest": f"{name}_before", "default": repeated}
        else:
            keywords |= {"dest": name, "default": None if before else argparse.SUPPRESS}
        group.add_argument(*filter(None, (short, flag)), **keywords)

    add(
        "--config-file",
        action="append",
        type=Path,
        metavar="FILE",
        help="oslo.config file; repeatable; nova.conf works",
    )
    add(
        "--config-dir",
        action="append",
        type=Path,
        metavar="DIR",
        help="directory of *.conf files; repeatable",
    )
    add(
        "--driver",
        metavar="NAME",
        help="host, libvirt, static, or an installed one; default: [reporter] driver",
    )
    add("--node", metavar="NAME", help="only this node of the driver's; default: all")
    add("--os-cloud", metavar="NAME", help="the Placement of a cloud in clouds.yaml")
    add("--placement", metavar="URL", help="a Placement without authentication (tests, loopback)")
    add("--embedded", metavar="[=FILE]", help="a real Placement inside this process, on an SQLite file")
    add(
        "--state-dir",
        type=Path,
        metavar="DIR",
        help="where to remember what we set; default: [reporter] state_dir",
    )
    add("--format", metavar="FORMAT", help=f"{', '.join(_FORMATS)}; diff also markdown; default: text")
    add("--verbose", "-v", action="count", help="log more to stderr; -vv: everything")
