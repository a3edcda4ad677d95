"""What a reshape may change about what a consumer holds, beyond moving it to another provider."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReshapeRules:
    """Changes of amounts that a driver declares; all others are refused before anything is sent.

    :ivar class_changes: (old, new) resource classes, such as ("VCPU", "PCPU"): the sum of both stays the same
    :ivar additions: classes of which a consumer may get more, such as those of a PCI device that it has had
        all along
    """

    class_changes: frozenset[tuple[str, str]] = frozenset()
    additions: frozenset[str] = frozenset()

    def group(self, resource_class: str) -> str:
        """One name for all classes that may turn into each other."""
        group = {resource_class}
        grown = True
        while grown:
            more = {each for pair in self.class_changes if group & set(pair) for each in pair}
            grown = not more <= group
            group |= more
        return min(group)
