"""Reports as text and Markdown, without a Placement."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from provider_tree import Change, Changes, ProviderTree, Source, diff
from provider_tree.change import Action, Kind
from reporter.errors import AdoptionNeeded
from reporter.explain import Explanation
from reporter.plan import Plan, Request
from reporter.policy import Held
from reporter.render.changes import outline_reports, summarize
from reporter.render.documents import reports_document
from reporter.render.explanations import outline_explanations
from reporter.render.markdown import reports_markdown
from reporter.render.outline import line, plain_lines, printable
from reporter.render.tree import outline_tree
from reporter.report import Report

ROOT, CHILD = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002"


def tree(name: str = "node", vcpus: int = 8, child_below: str | None = None) -> ProviderTree:
    made = ProviderTree()
    made.new_root(name, ROOT, generation=1)
    made.update_inventory(name, {"VCPU": {"total": vcpus}})
    if child_below is not None:
        made.new_child("child", child_below, uuid=CHILD)
    return made


def test_a_tree_of_any_depth_is_shown() -> None:
    chain = tree()
    for n in range(3000):
        chain.new_child(f"p{n}", f"p{n - 1}" if n else "node")
    *_, last = plain_lines(outline_tree(chain))
    assert last.startswith(f"{'  ' * 3000}p2999 ")


def report(changes: Sequence[Change], **fields: object) -> Report:
    empty = ProviderTree()
    plan = Plan((Request(0, "PUT", "/resource_providers/x"),)) if changes else Plan()
    base: dict[str, object] = {
        "node": "node",
        "root_uuid": ROOT,
        "current": empty,
        "desired": empty,
        "wanted": empty,
        "changes": Changes(changes),
        "plan": plan,
    }
    return Report(**{**base, **fields})  # type: ignore[arg-type] - fields of many types


def text(*reports: Report) -> list[str]:
    return list(plain_lines(outline_reports(reports)))


def test_a_rename_says_both_names() -> None:
    (heading, change, _) = text(report(diff(tree("old"), tree("new"))))
    assert heading == f"new {ROOT}"
    assert change == "  ~ renamed: old -> new"


def test_a_new_child_says_its_parent() -> None:
    (heading, _) = text(report(diff(tree(), tree(child_below="node"))))
    assert heading == f"+ child {CHILD} under node"


def test_a_deleted_provider() -> None:
    (heading, summary) = text(report(diff(tree(child_below="node"), tree())))
    assert heading == f"- child {CHILD} under node"
    assert summary == "1 to delete: 1 change, 1 request"


def test_moved_allocations_name_consumer_and_places() -> None:
    move = Change(
        Kind.ALLOCATIONS,
        Action.MOVE,
        "node",
        ROOT,
        {"node": {"VGPU": 1}},
        {"child": {"VGPU": 1}},
        consumer="c1",
        reason="reshape",
    )
    assert "  ~ allocations of consumer c1: 1 VGPU of node -> 1 VGPU of child  (reshape)" in text(
        report([move])
    )


def test_what_is_held_says_why_and_counts() -> None:
    (change,) = diff(tree(vcpus=8), tree(vcpus=4))
    lines = text(report([], held=(Held(change, "6 VCPU in use, 4 would be left"),)))
    assert lines == [
        "node: held back (sync --force makes these as well)",
        "  ~ VCPU: total 8 -> 4: 6 VCPU in use, 4 would be left",
        "nothing to change; 1 change held back",
    ]


def test_what_is_held_names_the_provider_that_it_is_of() -> None:
    """Several devices go, and all are in use: each says which one it is."""
    changes = diff(tree(child_below=ROOT), tree())
    lines = text(report([], held=[Held(each, "in use: 1 VGPU") for each in changes]))
    assert lines[1] == "  child: - provider, under node: in use: 1 VGPU"


def test_adoption_is_announced() -> None:
    lines = text(report([], adoption=AdoptionNeeded("it is nova-compute's", "sync --adopt")))
    assert "sync will ask for --adopt: it is nova-compute's" in lines


def test_sums_are_of_all_nodes() -> None:
    reports = [report(diff(ProviderTree(), tree())), report(diff(tree(), tree(vcpus=9)))]
    assert summarize(reports) == "2 to create, 1 to update: 3 changes, 2 requests"
    assert reports_document(reports)["summary"] == {"create": 2, "update": 1, "delete": 0}


def test_markdown_keeps_its_table_whatever_the_names() -> None:
    made = report(diff(ProviderTree(), tree("a|b`c_d")))
    rows = [each for each in reports_markdown([made]).splitlines() if each.startswith("|")]
    assert len(rows) == 4
    assert all(each.replace("\\|", "").count("|") == 4 for each in rows)


def test_explanations_say_what_lost() -> None:
    source = Source("configuration", "nova.conf [DEFAULT] cpu_allocation_ratio", 2.0).over(
        Source("default", "Nova's default", 4.0)
    )
    found = [
        Explanation("node", "VCPU.allocation_ratio", 2.0, source),
        Explanation("node", "traits.X", True, source),
    ]
    assert list(plain_lines(outline_explanations(found))) == [
        "node",
        "  VCPU.allocation_ratio = 2.0  configuration: nova.conf [DEFAULT] cpu_allocation_ratio",
        "    instead of 4.0  default: Nova's default",
        "  traits.X  configuration: nova.conf [DEFAULT] cpu_allocation_ratio",
        "    instead of 4.0  default: Nova's default",
    ]


@given(st.text())
def test_whatever_a_name_holds_the_line_is_one_and_harmless(name: str) -> None:
    shown = "\n".join(plain_lines([line(name)]))
    assert shown.isprintable()
    assert printable(shown) == shown
    if name.isprintable():
        assert shown == name
