"""Changing single amounts in allocations, where drivers.reshape, which moves all there is, does too much."""

from __future__ import annotations

from drivers.base import Allocations


def held(allocations: Allocations, consumer: str, provider: str, resource_class: str) -> int:
    """Return how much of a class a consumer holds on a provider (its uuid); 0 where it holds none."""
    record = allocations[consumer]["allocations"].get(provider, {})
    amount: int = record.get("resources", {}).get(resource_class, 0)
    return amount


def add(allocations: Allocations, consumer: str, provider: str, resource_class: str, amount: int) -> None:
    """Give a consumer more of a class on a provider, beside what it holds there; in place."""
    resources = allocations[consumer]["allocations"].setdefault(provider, {}).setdefault("resources", {})
    resources[resource_class] = resources.get(resource_class, 0) + amount


def take(allocations: Allocations, consumer: str, provider: str, resource_class: str, amount: int) -> None:
    """Take an amount of a class on a provider from a consumer that holds at least that much there; in place.

    A class of which nothing is left goes, and so does a provider of which the consumer then holds nothing:
    Placement refuses both when they are empty.
    """
    of_consumer = allocations[consumer]["allocations"]
    resources = of_consumer[provider]["resources"]
    left = resources[resource_class] - amount
    if left > 0:
        resources[resource_class] = left
        return
    del resources[resource_class]
    if not resources:
        del of_consumer[provider]
