"""Changes as values, which say themselves what they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from .inventory import DEFAULTS, FIELDS, same_value


class Kind(StrEnum):
    """What is changed."""

    PROVIDER = "provider"
    INVENTORY = "inventory"
    TRAITS = "traits"
    AGGREGATES = "aggregates"
    ALLOCATIONS = "allocations"


class Action(StrEnum):
    """What is done to it."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    MOVE = "move"
    RENAME = "rename"


_COUNTED_AS: Final = {Action.MOVE: Action.UPDATE, Action.RENAME: Action.UPDATE}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is to change about one provider.

    :ivar provider: its name, where it is renamed the new one
    :ivar before: what there is, or None. For a provider {"name", "uuid", "parent"}, the parent by name; for
        inventory {CLASS: record with all fields}, one class a change; for traits and aggregates a sorted list
    :ivar after: what there is to be, likewise. A provider that is both renamed and moved has a change for
        each, and the whole of before and after in both
    :ivar reason: why, if there is more to say than that it differs
    :ivar consumer: whose allocations they are
    """

    kind: Kind
    action: Action
    provider: str
    uuid: str
    before: Any = field(hash=False)
    after: Any = field(hash=False)
    reason: str = ""
    resource_class: str | None = None
    consumer: str | None = None

    def __str__(self) -> str:
        match self.kind:
            case Kind.PROVIDER:
                return self._describe_place()
            case Kind.INVENTORY:
                return self._describe_record()
            case Kind.TRAITS | Kind.AGGREGATES:
                old, new = set(self.before or ()), set(self.after or ())
                gained = [f"+{name}" for name in sorted(new - old)]
                lost = [f"-{name}" for name in sorted(old - new)]
                return " ".join([self.kind, *gained, *lost])
            case Kind.ALLOCATIONS:
                return f"{self.action} allocations of {self.consumer}"

    def _describe_place(self) -> str:
        old, new = self.before, self.after
        match self.action:
            case Action.CREATE:
                under = f" under {new['parent']}" if new["parent"] else ""
                return f"create {self.provider}{under}"
            case Action.RENAME:
                return f"rename {old['name']} -> {new['name']}"
            case Action.MOVE:
                there, here = (side["parent"] or "the top" for side in (old, new))
                return f"move {self.provider} from {there} to {here}"
            case _:
                return f"{self.action} {self.provider}"

    def _describe_record(self) -> str:
        name = self.resource_class
        if self.after is None:
            return f"remove {name} (total {self.before[name]['total']})"
        new = self.after[name]
        if self.before is None:
            others = [f", {key} {new[key]}" for key in DEFAULTS if new[key] != DEFAULTS[key]]
            return f"add {name} total {new['total']}{''.join(others)}"
        old = self.before[name]
        fields = [key for key in FIELDS if not same_value(key, old[key], new[key])]
        return ", ".join(f"{name}.{key} {old[key]} -> {new[key]}" for key in fields)

    def as_dict(self) -> dict[str, Any]:
        """The change as plain data, as `diff` writes it; None fields of other kinds are left out."""
        plain: dict[str, Any] = {
            "provider": self.provider,
            "uuid": self.uuid,
            "kind": self.kind.value,
            "action": self.action.value,
            "before": self.before,
            "after": self.after,
            "reason": self.reason,
        }
        optional: Mapping[str, Any] = {"resource_class": self.resource_class, "consumer": self.consumer}
        return plain | {key: value for key, value in optional.items() if value is not None}


class Changes(tuple[Change, ...]):
    """Changes in the order in which they can be made. Empty, and so false, if there is nothing to do."""

    __slots__ = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes as an ordinary tuple."""
        return tuple(self)

    def summary(self) -> dict[str, int]:
        """How many things are created, updated (moved and renamed ones included) and deleted."""
        counts = Counter(_COUNTED_AS.get(change.action, change.action) for change in self)
        return {action.value: counts[action] for action in (Action.CREATE, Action.UPDATE, Action.DELETE)}
