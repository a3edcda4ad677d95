"""PCI addresses, and the two ways in which ``[pci] device_spec`` matches them: wildcards and regular
expressions.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from drivers.libvirt.pci.errors import SpecProblem

ANY = "*"
MAX_DOMAIN, MAX_BUS, MAX_SLOT, MAX_FUNCTION = 0xFFFF, 0xFF, 0x1F, 0x7
_FIELDS = ("domain", "bus", "slot", "function")
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


class PciAddress(NamedTuple):
    """The address of a PCI function, each field in lower-case hexadecimal as the kernel writes it:
    0000:84:00.0.
    """

    domain: str
    bus: str
    slot: str
    function: str

    def __str__(self) -> str:
        return f"{self.domain}:{self.bus}:{self.slot}.{self.function}"

    @classmethod
    def of(cls, domain: int, bus: int, slot: int, function: int) -> PciAddress:
        """Return the address with these numbers."""
        return cls(f"{domain:04x}", f"{bus:02x}", f"{slot:02x}", f"{function:x}")

    @classmethod
    def parse(cls, text: str) -> PciAddress | None:
        """Return the address that ``text`` spells in full, None where it does not."""
        found = _ADDRESS.fullmatch(text)
        return None if found is None else cls(*(field.lower() for field in found.groups()))

    @property
    def can_be_matched(self) -> bool:
        """Whether a device_spec can name it: domains above FFFF (such as those of Intel VMD) it cannot."""
        return int(self.domain, 16) <= MAX_DOMAIN


class AddressPattern(Protocol):
    """The ``address`` of a device_spec."""

    def matches(self, address: PciAddress) -> bool:
        """Tell whether the pattern covers the address."""

    def single(self) -> str | None:
        """Return the one address that the pattern spells out, None where it could cover several."""


@dataclass(frozen=True, slots=True)
class Wildcards:
    """Fields that must be equal; ``*`` is equal to everything."""

    domain: str = ANY
    bus: str = ANY
    slot: str = ANY
    function: str = ANY

    def matches(self, address: PciAddress) -> bool:
        """Tell whether each field is the address's own or ``*``."""
        return all(want in {ANY, have} for want, have in zip(self._fields(), address, strict=True))

    def single(self) -> str | None:
        """Return the address when no field is ``*``."""
        return _spelled_out(self._fields())

    def _fields(self) -> tuple[str, str, str, str]:
        return self.domain, self.bus, self.slot, self.function


@dataclass(frozen=True, slots=True)
class Expressions:
    """Regular expressions, each of which must match at the beginning of its field (``0`` matches bus 0a, as
    in Nova).
    """

    domain: re.Pattern[str]
    bus: re.Pattern[str]
    slot: re.Pattern[str]
    function: re.Pattern[str]

    def matches(self, address: PciAddress) -> bool:
        """Tell whether every expression matches."""
        return all(want.match(have) for want, have in zip(self._fields(), address, strict=True))

    def single(self) -> str | None:
        """Return the address when each expression is nothing but hexadecimal digits."""
        return _spelled_out(tuple(field.pattern for field in self._fields()))

    def _fields(self) -> tuple[re.Pattern[str], ...]:
        return self.domain, self.bus, self.slot, self.function


def parse_address(given: Any) -> AddressPattern:
    """Return the pattern that the ``address`` of a device_spec stands for.

    :param given: text (``0000:0a:00.1``, ``*:0a:00.*``, ``:0a:00.``; what is left out is ``*``) or a mapping
        of regular expressions; None and what is empty match everything
    :raises SpecProblem: it is neither, or malformed
    """
    if not given:
        return Wildcards()
    if isinstance(given, str):
        return parse_wildcards(given)
    if isinstance(given, Mapping):
        return _parse_expressions(given)
    raise SpecProblem(f"address {given!r} is neither a PCI address nor an object of regular expressions")


def parse_wildcards(text: str) -> Wildcards:
    """Return what ``[[[domain]:]bus]:][slot][.[function]]`` stands for.

    :raises SpecProblem: it has too many fields, or one that is not a hexadecimal number within its bounds
    """
    before, _, function = text.partition(".")
    fields = before.split(":") if before else []
    if len(fields) > 3:
        raise SpecProblem(f"address {text!r} has more fields than domain:bus:slot.function")
    domain, bus, slot = [ANY] * (3 - len(fields)) + [field.strip() or ANY for field in fields]
    return Wildcards(
        hex_field("domain", domain, MAX_DOMAIN, 4),
        hex_field("bus", bus, MAX_BUS, 2),
        hex_field("slot", slot, MAX_SLOT, 2),
        hex_field("function", function.strip() if function else ANY, MAX_FUNCTION, 1),
    )


def hex_field(name: str, given: Any, maximum: int, width: int) -> str:
    """Return a hexadecimal number in lower case with ``width`` digits, ``*`` as it is.

    :raises SpecProblem: it is no hexadecimal number, or above ``maximum``
    """
    if given == ANY:
        return ANY
    if not isinstance(given, str):
        raise SpecProblem(f"{name} {given!r} must be text: hexadecimal digits in quotes")
    try:
        value = int(given, 16)
    except ValueError as error:
        raise SpecProblem(f"{name} {given!r} is not a hexadecimal number") from error
    if value > maximum:
        raise SpecProblem(f"{name} {given!r} is above the highest possible value {maximum:X}")
    return f"{value:0{width}x}"


def _parse_expressions(given: Mapping[str, Any]) -> Expressions:
    return Expressions(*(_expression(field, given.get(field, ".*")) for field in _FIELDS))


def _expression(field: str, given: Any) -> re.Pattern[str]:
    if not isinstance(given, str):
        raise SpecProblem(f"{field} of address must be a regular expression in quotes, not {given!r}")
    try:
        return re.compile(given)
    except re.error as error:
        raise SpecProblem(f"{field} of address is not a regular expression: {given!r}: {error}") from error


def _spelled_out(fields: tuple[str, ...]) -> str | None:
    if not all(character in string.hexdigits for field in fields for character in field):
        return None
    domain, bus, slot, function = fields
    return f"{domain}:{bus}:{slot}.{function}"
