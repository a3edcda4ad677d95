"""``adopt`` and ``forget``: which nodes are ours, decided by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reporter.adoption import adopt as adopt_node
from reporter.adoption import decommission
from reporter.adoption import forget as forget_node
from reporter.cli.wiring import Wiring
from reporter.identity import uuid_told
from reporter.render.outline import printable
from reporter.render.output import print_document, print_text

if TYPE_CHECKING:
    import argparse

_FORMAT_VERSION = 1


def adopt(arguments: argparse.Namespace) -> int:
    """Take over the provider of that name; Placement is not written before the next sync."""
    with Wiring(arguments, writing=True) as parts:
        node: str = arguments.named
        provider = adopt_node(parts.client, parts.state, node, lambda: uuid_told(parts.driver, node))
    text = f"{provider.name} ({provider.uuid}) is ours from now on; the next sync writes it"
    _print(arguments, text, {"node": arguments.named, "uuid": provider.uuid})
    return 0


def forget(arguments: argparse.Namespace) -> int:
    """Drop what we know of a node; with ``--delete``, delete its providers first."""
    node: str = arguments.named
    deleted: tuple[str, ...] = ()
    with Wiring(arguments, writing=True) as parts:
        if arguments.delete:
            manage = parts.settings.manage
            deleted = decommission(parts.client, parts.state, node, manage=manage).deleted
        else:
            forget_node(parts.state, node)
    text = f"{node} is forgotten; what Placement has of it stays"
    if arguments.delete:
        text = f"{node} is forgotten; deleted: {', '.join(deleted) or 'nothing, Placement had none of it'}"
    _print(arguments, text, {"node": node, "deleted": list(deleted)})
    return 0


def _print(arguments: argparse.Namespace, text: str, document: dict[str, Any]) -> None:
    if arguments.format == "text":
        print_text(f"{printable(text)}\n")
    else:
        print_document({"format_version": _FORMAT_VERSION, **document}, arguments.format)
