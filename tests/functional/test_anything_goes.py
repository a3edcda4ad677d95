"""Wishes change, others write and take away, syncs are stopped and overtaken, memory is lost: in any order.

After each sync that was not stopped, Placement has all that we want and all that others set, and nothing that
we no longer want, as long as we remember what we set.
"""

from __future__ import annotations

import random
import shutil
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from provider_tree import Provider, ProviderTree
from reporter.errors import InvalidWish
from reporter.placement.errors import Unavailable
from reporter.report import Report
from tests.functional.drivers import TreeDriver, host_tree
from tests.functional.reporting import MARKER, reporter_for

ROOT = host_tree().provider("node").uuid
TRAITS = ("CUSTOM_OURS_A", "CUSTOM_OURS_B", "HW_CPU_X86_AVX")
STEPS = 25


def uuid_for(*words: object) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(map(str, words))))


@dataclass
class Theirs:
    """What others have set on one provider."""

    traits: set[str] = field(default_factory=set)
    aggregates: set[str] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)


class Play:
    """One play, which a seed decides."""

    def __init__(self, placement: Any, directory: Path, seed: int) -> None:
        self.placement, self.dice = placement, random.Random(seed)
        self.state, self.backup = directory / "state", directory / "backup"
        self.numbers = iter(range(10_000))
        self.wish = self.any_wish()
        self.remembers, self.adopt = True, False
        self.theirs: dict[str, Theirs] = {}
        self.children: set[str] = set()  # of others
        self.consumers: dict[str, tuple[str, str]] = {}
        self.start()

    def start(self) -> None:
        """As a new process."""
        self.driver = TreeDriver(self.wish)
        self.reporter = reporter_for(self.driver, self.placement.url, self.state)

    def any_wish(self) -> ProviderTree:
        """Up to five providers below the root or an earlier one, each with one of two uuids."""
        dice = self.dice
        tree = host_tree(vcpus=dice.choice((8, 16)))
        tree.update_traits("node", dice.sample(TRAITS, dice.randint(0, 3)))
        for number in range(5):
            if dice.random() < 0.6:
                name = f"gpu{number}"
                above = dice.choice([each.name for each in tree.providers()])
                tree.new_child(name, above, uuid=uuid_for(name, int(dice.random() < 0.1)))
                if dice.random() < 0.8:
                    tree.update_inventory(name, {"VGPU": {"total": dice.choice((2, 4, 8))}})
                tree.update_traits(name, dice.sample(TRAITS, dice.randint(0, 3)))
                aggregates = [uuid_for("ours", each) for each in range(2)]
                tree.update_aggregates(name, dice.sample(aggregates, dice.randint(0, 2)))
        return tree

    def found(self) -> dict[str, Provider]:
        """What Placement has, by uuid."""
        tree = self.placement.tree()
        return {
            each["uuid"]: Provider(
                each["uuid"],
                name,
                None,
                tree[each["parent"]]["uuid"] if each["parent"] else None,
                each["inventory"],
                frozenset(each["traits"]),
                frozenset(each["aggregates"]),
            )
            for name, each in tree.items()
        }

    # What may happen

    def wish_changes(self) -> None:
        self.wish = self.driver.tree = self.any_wish()

    def others_write(self) -> None:
        """They add a trait, an aggregate, a class, a child or an allocation, to anybody's provider."""
        found = self.found()
        if not found:
            return
        uuid_, number = self.dice.choice(sorted(found)), next(self.numbers)
        provider, theirs = found[uuid_], self.theirs.setdefault(uuid_, Theirs())
        match self.dice.randrange(5):
            case 0:
                theirs.traits.add(f"CUSTOM_THEIRS_{number}")
                self.placement.set_traits(uuid_, *provider.traits | theirs.traits)
            case 1:
                theirs.aggregates.add(uuid_for("theirs", number))
                self.placement.set_aggregates(uuid_, *provider.aggregates | theirs.aggregates)
            case 2:
                theirs.classes.add("CUSTOM_THEIRS")
                inventory = {name: dict(record) for name, record in provider.inventory.items()}
                self.placement.set_inventory(uuid_, {"CUSTOM_THEIRS": 5, **inventory})
            case 3:
                child = uuid_for("child", number)
                self.children.add(self.placement.add_provider(f"child {number}", uuid_, child))
            case 4 if "VGPU" in provider.inventory:
                held = list(self.consumers.values()).count((uuid_, "VGPU"))
                if held < provider.inventory["VGPU"]["total"]:
                    consumer = uuid_for("consumer", number)
                    self.consumers[consumer] = (uuid_, "VGPU")
                    self.placement.allocate({uuid_: {"VGPU": 1}}, consumer)

    def others_leave(self) -> None:
        """An allocation goes."""
        if self.consumers:
            consumer = self.dice.choice(sorted(self.consumers))
            self.placement.delete(f"/allocations/{consumer}")
            del self.consumers[consumer]

    def others_hurt(self) -> None:
        """They change or take away what is ours."""
        ours = sorted(self.found().keys() & set(self.wish.get_provider_uuids()))
        if not ours:
            return
        uuid_ = self.dice.choice(ours)
        provider = self.found()[uuid_]
        theirs = self.theirs.get(uuid_, Theirs())
        match self.dice.randrange(3):
            case 0:
                self.placement.set_traits(uuid_, *theirs.traits)
            case 1:
                inventory = {
                    name: dict(record) | {"total": 6400} for name, record in provider.inventory.items()
                }
                self.placement.set_inventory(uuid_, inventory)
            case 2 if uuid_ != ROOT:
                body = {"name": f"strange {uuid_}", "parent_provider_uuid": provider.parent_uuid}
                self.placement.put(f"/resource_providers/{uuid_}", body)

    def memory_is_rolled_back(self) -> None:
        if self.backup.exists():
            shutil.rmtree(self.state, ignore_errors=True)
            shutil.copytree(self.backup, self.state)
            for snapshot in self.state.glob("nodes/*.snapshot.json"):
                snapshot.unlink()
            self.remembers, self.adopt = False, True
            self.start()
        elif self.state.exists():
            shutil.copytree(self.state, self.backup)

    def memory_is_lost(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        self.remembers, self.adopt = False, True
        self.start()

    def sync(self) -> None:
        try:
            report = self.reporter.sync_once("node", adopt=self.adopt)
        except InvalidWish:
            # Others' children, or allocations, need the provider whose name another one is to have.
            self.wish_changes()
            return
        finally:
            self.placement.hook = None
        self.adopt = False
        self.assert_kept()
        self.assert_wanted(report)
        held = {each.change.uuid for each in report.held}
        again = self.reporter.sync_once("node", dry_run=True)
        assert {each.uuid for each in again.changes} <= held

    def sync_that_is_stopped(self) -> None:
        left = [self.dice.randrange(12)]

        def hook(method: str, _path: str) -> tuple[str, bytes] | None:
            left[0] -= method != "GET"
            return ("503 Service Unavailable", b"{}") if left[0] < 0 else None

        self.placement.hook = hook
        try:
            self.sync()
        except Unavailable:
            self.assert_kept()

    def sync_that_is_overtaken(self) -> None:
        left = [self.dice.randrange(12)]

        def hook(_method: str, _path: str) -> None:
            left[0] -= 1
            if left[0] == 0:
                self.others_write()

        self.placement.hook = hook
        self.sync()

    # What must be so

    def assert_kept(self) -> None:
        """Nothing of others' is lost, but what was on a provider of ours that is gone altogether."""
        found = self.found()
        assert self.children <= found.keys()
        self.theirs = {uuid_: each for uuid_, each in self.theirs.items() if uuid_ in found}
        for uuid_, theirs in self.theirs.items():
            assert theirs.traits <= found[uuid_].traits
            assert theirs.aggregates <= found[uuid_].aggregates
            assert theirs.classes <= found[uuid_].inventory.keys()
        for consumer, (uuid_, resource_class) in self.consumers.items():
            assert self.placement.allocations(consumer) == {uuid_: {resource_class: 1}}

    def assert_wanted(self, report: Report) -> None:
        """What we want is there, and, as far as we remember, nothing more of ours."""
        found, held = self.found(), {each.change.uuid for each in report.held}
        for wanted in self.wish.providers():
            now, theirs = found[wanted.uuid], self.theirs.get(wanted.uuid, Theirs())
            if wanted.uuid in held:
                continue
            assert (now.name, now.parent_uuid) == (wanted.name, wanted.parent_uuid)
            assert wanted.traits <= now.traits
            assert wanted.aggregates <= now.aggregates
            totals = {name: each["total"] for name, each in wanted.inventory.items()}
            assert totals.items() <= {name: each["total"] for name, each in now.inventory.items()}.items()
            if self.remembers:
                assert now.traits == wanted.traits | theirs.traits | {MARKER}
                assert now.aggregates == wanted.aggregates | theirs.aggregates
                assert now.inventory.keys() == wanted.inventory.keys() | theirs.classes
        if self.remembers:
            stays = {*self.wish.get_provider_uuids(), *self.children, *held}
            for uuid_ in sorted(stays):
                while (above := found[uuid_].parent_uuid) is not None:
                    stays.add(uuid_ := above)
            assert found.keys() == stays


@pytest.mark.parametrize("seed", range(3))
def test_others_keep_theirs_and_we_get_ours(
    placement: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr("reporter.sync._PAUSE", 0.001)
    play = Play(placement, tmp_path, seed)
    often: list[Callable[[], None]] = [
        play.wish_changes,
        play.others_write,
        play.others_write,
        play.sync,
        play.sync_that_is_stopped,
        play.sync_that_is_overtaken,
    ]
    rarely = [
        play.others_leave,
        play.others_hurt,
        play.start,
        play.memory_is_rolled_back,
        play.memory_is_lost,
    ]
    for _ in range(STEPS):
        play.dice.choice(rarely if play.dice.random() < 0.2 else often)()
    play.sync()
    play.start()
    play.sync()
