"""ProviderTree beside Nova's: Nova's own unit tests, and the same answers to the same calls."""

import json

from tests.peer.nova_process import needs_nova, run_beside_nova

pytestmark = needs_nova


def test_our_tree_passes_novas_unit_tests_but_for_the_shared_lock():
    result = json.loads(run_beside_nova("unit_tests.py"))
    assert list(result["failed"]) == ["test_deep_copy"], result["failed"]
    assert "self.assertIs(pt.lock, pt2.lock)" in result["failed"]["test_deep_copy"]
    assert result["run"] >= 26


def test_any_calls_get_the_answers_that_novas_tree_gives():
    assert "agreed" in run_beside_nova("same_answers.py")
