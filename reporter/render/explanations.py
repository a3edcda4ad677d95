"""Where values come from, as an outline and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from reporter.render.outline import Entry, Span, line

if TYPE_CHECKING:
    from provider_tree import Source
    from reporter.explain import Explanation

FORMAT_VERSION = 1


def outline_explanations(explanations: Sequence[Explanation]) -> list[Entry]:
    """One entry a provider, below it its fields, below each what lost."""
    by_provider: dict[str, list[Explanation]] = {}
    for each in explanations:
        by_provider.setdefault(each.provider, []).append(each)
    return [
        line(Span(provider, "name"), below=[_field(each) for each in fields])
        for provider, fields in by_provider.items()
    ]


def _field(explanation: Explanation) -> Entry:
    source, value = explanation.source, explanation.value
    is_member = value is True  # a trait or an aggregate: it is there, it has no value
    return line(
        Span(explanation.field, "changed"),
        *([] if is_member else [f" = {value}"]),
        f"  {_origin(source)}",
        below=[
            line(
                Span(f"instead of {each.value}" if each.value is not None else "instead of", "faint"),
                f"  {_origin(each)}",
            )
            for each in source.lost
        ],
    )


def _origin(source: Source) -> str:
    """``driver: 8 CPUs online``, but ``driver libvirt``."""
    return source.detail if source.detail.startswith(source.kind) else f"{source.kind}: {source.detail}"


def explanations_document(explanations: Sequence[Explanation]) -> dict[str, Any]:
    """The same for programs."""
    return {
        "format_version": FORMAT_VERSION,
        "explanations": [
            {
                "provider": each.provider,
                "field": each.field,
                "value": each.value,
                "source": _source(each.source),
                "lost": [_source(lost) for lost in each.source.lost],
            }
            for each in explanations
        ],
    }


def _source(source: Source) -> dict[str, Any]:
    return {"kind": source.kind, "detail": source.detail, "value": source.value}
