"""Each fault that is put into the product, or back into it, is found by the soak."""

from __future__ import annotations

import pytest

from rebuilder.core.acr.registries import TaskId
from rebuilder.core.acr.tasks import RunStatus
from tests.soak.azure import APPS, START, SimRun
from tests.soak.rounds import series
from tests.soak.test_converges import soak


# A round is some hundred thousand calls; other tests run beside it.
@pytest.mark.timeout(1800)
def test_random_steps_find_a_tag_that_goes_back() -> None:
    """A round in which tags often go back during builds, with the code that believed them.

    Which round it is, each change of the product changes: of the first four, each was one.
    """
    for number in range(4):
        options = ("--seed", "1", "--round", str(number), "--steps", "100", "--often", "back")
        code, told = soak(*options, "--fault", "tag-goes-back")
        if code == 1 and "  stale: " in told:
            return
    pytest.fail("no round of four found it")


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("fault", "story", "found"),
    [
        ("tag-goes-back", "back", "back: t0 is stale"),
        ("letters-keep-their-place", "replayed", "replayed: "),
        ("turns-never-expire", "turns", "runs in ten seconds"),
        ("refused-claims-stay", "throttled", "throttled: runs were looked for"),
        ("claims-push-nothing", "cycle", "100% of all answers lost"),
        ("cycles-go-on", "cycle", "0% of all answers lost"),
        ("stale-for-good", "behind", "behind: t0 is stale"),
        ("times-are-believed", "clock", "clock: "),
        ("late-messages-free-places", "places", "although 2 are under way in policy default: 1"),
        ("nobody-is-asked", "approved", "although 0 of 2 agreed to it"),
        ("votes-never-expire", "approved", "although 1 of 2 agreed to it"),
        ("votes-are-for-a-task", "approved", "although 1 of 2 agreed to it"),
        ("rejected-comes-again", "approved", "although ann rejected it"),
        ("nobody-goes-first", "quarantined", "although first goes first on "),
        ("quarantined-is-built-on", "quarantined", " is quarantined since "),
        ("pauses-are-not-looked-at", "quarantined", " is paused since "),
        ("failures-are-not-counted", "stopped", "the digest is not quarantined"),
        ("upstream-is-not-waited-for", "wave", "is to be built, and comes before it"),
        ("edits-are-not-seen", "edited", "although sale is a freeze"),
    ],
)
def test_a_story_finds_its_fault(fault: str, story: str, found: str) -> None:
    """The same story is well without the fault; see test_stories_end_well."""
    code, told = soak("--story", story, "--fault", fault)

    assert code == 1, told
    assert found in told


@pytest.mark.parametrize(
    ("ways", "sizes"),
    [
        ("", [0]),
        ("ffff", [4]),
        ("sfff", [4]),  # what stands on the right base is not built again
        ("bfff", [1, 3]),
        ("bbfb", [1, 1, 2]),
    ],
)
def test_only_a_run_that_pulled_an_old_copy_is_repaired(ways: str, sizes: list[int]) -> None:
    """What else is run again on the same digests counts as tried too often."""
    ends = {"f": RunStatus.FAILED, "s": RunStatus.SUCCEEDED, "b": RunStatus.SUCCEEDED}
    task = TaskId(APPS, "t0")
    runs = [
        SimRun(f"ca{n}", task, "product", START, lagged=way == "b", status=ends[way])
        for n, way in enumerate(ways)
    ]
    assert [len(one) for one in series(runs)] == sizes
