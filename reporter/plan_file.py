"""Saved plans in a file: JSON with a version, which a person may read, too."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from provider_tree import Action, Change, Changes, Kind, Provider
from provider_tree.inventory import complete
from reporter.errors import ReporterError
from reporter.plan import Plan, Request
from reporter.plan_progress import records, refuse_contradiction, written
from reporter.saved_plan import SavedPlan

FORMAT_VERSION = 1


def save_plans(file: Path, plans: Iterable[SavedPlan]) -> None:
    """Write plans to a file, whole or not at all; to a pipe or a device as it is.

    :raises reporter.errors.ReporterError: the file cannot be written
    """
    document = {"format_version": FORMAT_VERSION, "nodes": [_to_document(each) for each in plans]}
    text = json.dumps(document, indent=1, sort_keys=True) + "\n"
    try:
        if file.is_symlink() or (file.exists() and not file.is_file()):
            file.write_text(text, "utf-8")
        else:
            _replace(file, text)
    except OSError as error:
        raise ReporterError(
            f"cannot write the plan to {file}: {error.strerror}", "choose another file with --out"
        ) from error


def _replace(file: Path, text: str) -> None:
    temporary = file.with_name(f".{file.name}.new")
    try:
        temporary.write_text(text, "utf-8")
        temporary.replace(file)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def load_plans(file: Path) -> list[SavedPlan]:
    """Read plans that ``save_plans`` wrote.

    :raises reporter.errors.ReporterError: unreadable, or not a plan
    """
    advice = "make one with diff --out FILE"
    try:
        document = json.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ReporterError(f"cannot read the plan {file}: {error.strerror}", advice) from error
    except (ValueError, RecursionError) as error:
        raise ReporterError(f"{file} is not a plan: {error}", advice) from error
    try:
        version = document["format_version"]
        if version != FORMAT_VERSION:
            raise ReporterError(
                f"{file} is a plan of format version {version}, not {FORMAT_VERSION}",
                "make a new one with diff --out FILE",
            )
        return [_from_document(each) for each in document["nodes"]]
    except ValueError as error:
        raise ReporterError(f"{file} is not a plan: {error}", advice) from error
    except (LookupError, TypeError, AttributeError) as error:
        raise ReporterError(f"{file} is not a plan: {error!r}", advice) from error


def _to_document(saved: SavedPlan) -> dict[str, Any]:
    return {
        "node": saved.node,
        "root_uuid": saved.root_uuid,
        "placement": saved.placement,
        "changes": [each.as_dict() for each in saved.changes],
        "requests": [asdict(each) for each in saved.plan.requests],
        "before": [_provider_document(each) for each in saved.before.values()],
        "after": [_provider_document(each) for each in saved.after.values()],
        "consumers": saved.consumers,
    }


def _from_document(document: Mapping[str, Any]) -> SavedPlan:
    saved = SavedPlan(
        node=_text(document["node"]),
        root_uuid=_text(document["root_uuid"]),
        placement=_text(document["placement"]),
        changes=Changes(_change(each) for each in document["changes"]),
        plan=Plan(tuple(_request(each) for each in document["requests"])),
        before={each["uuid"]: _provider(each) for each in document["before"]},
        after={each["uuid"]: _provider(each) for each in document["after"]},
        consumers=document["consumers"],
    )
    before = records(saved.before, saved.consumers)  # consumers of another form are refused here
    refuse_contradiction(saved.plan.requests, before, records(saved.after, {}))
    return saved


def _request(document: Mapping[str, Any]) -> Request:
    uuids = tuple(_text(each) for each in document["uuids"])
    request = Request(**{**document, "uuids": uuids, "stage": int(document["stage"])})
    written(request)  # one that no plan has is refused here
    return request


def _change(document: Mapping[str, Any]) -> Change:
    return Change(
        kind=Kind(document["kind"]),
        action=Action(document["action"]),
        provider=document["provider"],
        uuid=document["uuid"],
        before=document["before"],
        after=document["after"],
        reason=document.get("reason", ""),
        resource_class=document.get("resource_class"),
        consumer=document.get("consumer"),
    )


def _provider_document(provider: Provider) -> dict[str, Any]:
    return {
        "uuid": provider.uuid,
        "name": provider.name,
        "parent_uuid": provider.parent_uuid,
        "inventory": {name: complete(record) for name, record in provider.inventory.items()},
        "traits": sorted(provider.traits),
        "aggregates": sorted(provider.aggregates),
    }


def _provider(document: Mapping[str, Any]) -> Provider:
    return Provider(
        uuid=_text(document["uuid"]),
        name=_text(document["name"]),
        parent_uuid=None if document["parent_uuid"] is None else _text(document["parent_uuid"]),
        inventory={_text(name): complete(record) for name, record in document["inventory"].items()},
        traits=frozenset(_text(each) for each in document["traits"]),
        aggregates=frozenset(_text(each) for each in document["aggregates"]),
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value
