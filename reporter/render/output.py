"""Printing: plain text into a pipe or a file, colours and tree lines on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from reporter.errors import ReporterError
from reporter.render.outline import Entry, Span, plain_lines, printable, with_depths

if TYPE_CHECKING:
    from rich.text import Text
    from rich.tree import Tree

_STYLES = {
    "plain": "",
    "name": "bold",
    "added": "green",
    "removed": "red",
    "changed": "yellow",
    "faint": "dim",
    "warning": "yellow",
}


class OutputError(ReporterError):
    """What was to be printed cannot be written."""


def print_outline(entries: Iterable[Entry], *, tree: bool = False) -> None:
    """Print an outline to stdout.

    :param tree: join entries with those below them by lines, on a terminal
    """
    if not sys.stdout.isatty():
        print_text("".join(f"{each}\n" for each in plain_lines(entries)))
        return
    from rich.console import Console  # noqa: PLC0415 - 0.1 s that only a terminal needs

    console = Console(highlight=False, soft_wrap=not tree)  # heeds NO_COLOR, TERM=dumb and the character set
    for entry in entries:
        if tree:
            console.print(_rich_tree(entry))
        else:
            _print_indented(console.print, entry)


def print_text(text: str) -> None:
    """Write text to stdout.

    :raises OutputError: the file or device is full, or broken in another way than a closed pipe
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(
            f"cannot write the output: {error.strerror}", "make room where it goes, or send it elsewhere"
        ) from error


def print_document(document: Mapping[str, Any], form: str) -> None:
    """Print plain data to stdout.

    :param form: ``json`` or ``yaml``
    """
    if form == "json":
        print_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        return
    import yaml  # noqa: PLC0415 - only YAML needs it

    print_text(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False, allow_unicode=True))


def _print_indented(write: Any, top: Entry) -> None:
    for depth, entry in with_depths([top]):
        text = _rich_text(entry.spans)
        text.pad_left(2 * depth)
        write(text)


def _rich_tree(top: Entry) -> Tree:
    from rich.tree import Tree  # noqa: PLC0415 - only a terminal needs it

    path: list[Tree] = []  # from the top to the last entry
    for depth, entry in with_depths([top]):
        tree = Tree(_rich_text(entry.spans), guide_style="dim")
        del path[depth:]
        if path:
            path[-1].children.append(tree)
        path.append(tree)
    return path[0]


def _rich_text(spans: Iterable[Span]) -> Text:
    from rich.text import Text  # noqa: PLC0415 - only a terminal needs it

    text = Text()
    for span in spans:
        text.append(printable(span.text), _STYLES[span.style])
    return text
