"""An outline: lines of styled text, with other lines below them. What it looks like is up to ``output``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Style = Literal["plain", "name", "added", "removed", "changed", "faint", "warning"]


@dataclass(frozen=True, slots=True)
class Span:
    """Text of one style."""

    text: str
    style: Style = "plain"


@dataclass(frozen=True, slots=True)
class Entry:
    """A line, and the lines below it."""

    spans: tuple[Span, ...]
    below: tuple[Entry, ...] = ()

    @property
    def text(self) -> str:
        """The line without its styles."""
        return printable("".join(span.text for span in self.spans))


def line(*parts: str | Span, below: Iterable[Entry] = ()) -> Entry:
    """An entry of these parts; a str is plain."""
    spans = tuple(Span(part) if isinstance(part, str) else part for part in parts)
    return Entry(spans, tuple(below))


def plain_lines(entries: Iterable[Entry], indent: str = "") -> Iterator[str]:
    """The outline with two blanks for each level: one line an entry, however long, so that grep finds it."""
    for depth, entry in with_depths(entries):
        yield f"{indent}{'  ' * depth}{entry.text}"


def with_depths(entries: Iterable[Entry]) -> Iterator[tuple[int, Entry]]:
    """All entries from top to bottom, each with the number of those that it is below."""
    left = [(0, entry) for entry in reversed(list(entries))]
    while left:
        depth, entry = left.pop()
        yield depth, entry
        left += [(depth + 1, below) for below in reversed(entry.below)]


def printable(text: str) -> str:
    """The text with control characters escaped: names come from others and must not drive the terminal."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
