"""XML text from libvirt to elements. Documents with a DTD, entities or outside references are refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import defusedxml.ElementTree
from defusedxml.common import DefusedXmlException

from drivers.errors import HostReadError

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element  # for its type; parsing is defusedxml's


def malformed_xml(what: str, reason: str) -> HostReadError:
    """Return the error for a document of libvirt's that is not as documented.

    :param what: the document, e.g. ``capabilities``
    :param reason: what is wrong with it, in a few words
    """
    return HostReadError(
        f"libvirt's {what} document cannot be understood: {reason}",
        "look at it with virsh; nothing is reported from it until it reads as documented",
    )


def parse_xml(text: str, root: str) -> Element:
    """Return the root element of a document.

    :param text: the document as libvirt gave it
    :param root: the name that its root element must have
    :raises HostReadError: it is no well-formed XML, has a DTD or entities, or another root
    """
    try:
        element: Element = defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except DefusedXmlException as error:
        raise malformed_xml(root, f"it holds a DTD or entities ({type(error).__name__})") from error
    except (defusedxml.ElementTree.ParseError, ValueError) as error:
        raise malformed_xml(root, str(error)) from error
    if element.tag != root:
        raise malformed_xml(root, f"its root element is <{element.tag}>")
    return element


def number(text: str | None, what: str, document: str, base: int = 10) -> int:
    """Return a number that a document holds.

    :raises HostReadError: there is none; the error names ``what`` in ``document``
    """
    try:
        return int((text or "").strip(), base)
    except ValueError as error:
        raise malformed_xml(document, f"{what} is {text!r}, not a number") from error


def attribute_number(element: Element, name: str, document: str) -> int | None:
    """Return an attribute as a number, None where it is absent.

    :raises HostReadError: it is there but no number
    """
    text = element.get(name)
    return None if text is None else number(text, f"{name} of <{element.tag}>", document)


def values(element: Element | None, enum: str) -> tuple[str, ...]:
    """Return the values of an ``<enum name=…>`` that is a child of ``element``; none where it is absent."""
    if element is None:
        return ()
    return tuple(
        value.text.strip()
        for child in element.findall("enum")
        if child.get("name") == enum
        for value in child.findall("value")
        if value.text
    )
