"""The audit finds no shortcut in the data set, and finds one that is planted."""

import itertools
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tubelet.data.synthetic.audit import (
    AuditReport,
    Finding,
    Rate,
    audit,
    audit_folder,
    audit_videos,
    judged,
    pair_names,
    rendered,
)
from tubelet.data.synthetic.audit_probes import PROBES, BagNetwork, SequenceNetwork, shuffled_frames
from tubelet.data.synthetic.motions import Draws, Paths, Times, backwards, keep_still
from tubelet.data.synthetic.synth import SynthConfig
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.errors import ConfigError, DataError

EASY = SynthConfig(
    motions=("move_right", "move_left", "grow", "shrink"),
    size=24,
    num_frames=8,
    sprites=1,
    radius=(0.15, 0.3),
    texture=0.0,
    noise=0.0,
)


@pytest.fixture(scope="module")
def report() -> AuditReport:
    torch.set_num_threads(1)
    probes = ("single frame", "bag of frames", "shuffled frames", "ordered frames")
    return audit(EASY, num_train=512, num_test=800, epochs=6, probes=probes)


def finding(report: AuditReport, probe: str) -> Finding:
    return next(found for found in report.findings if found.probe == probe)


def test_one_frame_is_at_chance_over_all_classes(report: AuditReport):
    low, high = finding(report, "single frame").overall.interval(3.0)
    assert low <= 0.25 <= high


@pytest.mark.parametrize("probe", ["single frame", "bag of frames", "shuffled frames"])
def test_without_order_a_reversal_pair_is_a_coin_toss(report: AuditReport, probe: str):
    low, high = finding(report, probe).inside_pairs.interval(3.0)
    assert low <= 0.5 <= high


def test_a_bag_of_frames_may_tell_what_moves(report: AuditReport):
    # Otherwise the bag would be too weak a network to conclude anything from its failure inside the pairs.
    assert finding(report, "bag of frames").overall.interval(3.0)[0] > 0.3


def test_order_tells_the_pairs_apart(report: AuditReport):
    assert finding(report, "ordered frames").inside_pairs.value > 0.7
    assert report.problems() == []


# Planted leaks


def leaky_audit(change: dict[str, object], probe: str) -> AuditReport:
    config = replace(EASY, motions=("grow", "shrink"), **change)  # pyright: ignore
    return audit(config, num_train=384, num_test=300, epochs=8, probes=(probe,))


def plant(monkeypatch: pytest.MonkeyPatch, name: str, programme: object) -> None:
    from tubelet.data.synthetic.motions import MOTIONS

    monkeypatch.setitem(MOTIONS, name, replace(MOTIONS[name], programme=programme))  # pyright: ignore


def grow_from_small(draws: Draws, times: Times) -> Paths:
    """Without the cycle: small at first, large at last."""
    size = (0.4 * draws.size + 0.6 * times[:, None]).clamp(max=0.999)
    return replace(keep_still(draws, times), size=size)


def test_growth_without_a_cycle_is_found_by_the_first_frame(monkeypatch: pytest.MonkeyPatch):
    plant(monkeypatch, "grow", grow_from_small)
    plant(monkeypatch, "shrink", backwards(grow_from_small))
    problems = leaky_audit({}, "first frame").problems()
    assert any("is above chance" in problem for problem in problems)
    assert any("is not one half" in problem for problem in problems)


def test_a_member_that_is_not_the_other_backwards_is_found_by_the_bag(monkeypatch: pytest.MonkeyPatch):
    def grow_wide(draws: Draws, times: Times) -> Paths:
        return replace(keep_still(draws, times), size=draws.size * 0 + times[:, None] * 0.99)

    def shrink_little(draws: Draws, times: Times) -> Paths:
        return replace(keep_still(draws, times), size=draws.size * 0 + 0.6 - times[:, None] * 0.2)

    plant(monkeypatch, "grow", grow_wide)
    plant(monkeypatch, "shrink", shrink_little)
    assert any("not one half" in problem for problem in leaky_audit({}, "bag of frames").problems())


def test_a_control_that_learns_nothing_is_a_problem():
    lost = Finding(probe="ordered frames", overall=Rate(right=126, of=500), pairs={})
    report = AuditReport(classes=("a", "b", "c", "d"), num_train=1, num_test=500, findings=(lost,))
    assert "not above chance" in report.problems()[0]


# The parts


def test_networks_for_bags_see_no_order():
    clip = torch.randn(2, 5, 3, 16, 16)
    network = BagNetwork(4).eval()
    shuffled = clip[:, torch.tensor([3, 0, 4, 2, 1])]
    torch.testing.assert_close(network(clip), network(shuffled), rtol=1e-4, atol=1e-5)
    sequence = SequenceNetwork(4, num_frames=5).eval()
    assert not torch.allclose(sequence(clip), sequence(shuffled), atol=1e-3)


def test_shuffling_keeps_every_frame():
    videos = torch.arange(6, dtype=torch.uint8).view(1, 6, 1, 1, 1).expand(4, 6, 3, 1, 1)
    orders = shuffled_frames(videos, torch.Generator().manual_seed(0))[:, :, 0, 0, 0]
    assert orders.sort(1).values.equal(videos[:, :, 0, 0, 0])
    assert len({tuple(order) for order in orders.tolist()}) > 1


def test_the_interval_is_that_of_wilson():
    # Brown, Cai and DasGupta 2001, and any calculator: 8 of 10 give 0.490 to 0.943.
    assert Rate(right=8, of=10).interval() == pytest.approx((0.4902, 0.9433), abs=1e-3)
    low, high = Rate(right=50, of=100).interval()
    assert low + high == pytest.approx(1.0)


def test_the_interval_holds_the_truth_as_often_as_it_says():
    generator = torch.Generator().manual_seed(0)
    rights = (torch.rand(2000, 400, generator=generator) < 0.5).sum(1).tolist()
    inside = sum(low <= 0.5 <= high for low, high in (Rate(right=r, of=400).interval() for r in rights))
    assert 0.93 < inside / 2000 < 0.97


def test_pairs_are_judged_between_their_members_only():
    # The third class is always likeliest: wrong over all, right inside the pair.
    logits = torch.tensor([[1.0, 0.0, 9.0], [0.0, 1.0, 9.0], [0.0, 1.0, 9.0]])
    labels = torch.tensor([0, 1, 0])
    found = judged("ordered frames", logits, labels, {"a / b": (0, 1)})
    assert (found.overall.right, found.overall.of) == (0, 3)
    assert (found.inside_pairs.right, found.inside_pairs.of) == (2, 3)


def test_a_report_reads_as_a_table_and_as_a_dict(report: AuditReport):
    table = report.table()
    assert "512 training clips, 800 test clips, 4 classes" in table
    assert all(found.probe in table for found in report.findings)
    as_dict = report.to_dict()
    assert as_dict["problems"] == []
    assert set(as_dict["probes"]) == {found.probe for found in report.findings}  # pyright: ignore


def test_a_folder_is_audited_as_decoded(tmp_path: Path):
    config = replace(EASY, size=16, num_frames=4)
    write_dataset(config, tmp_path / "data", {"train": 8, "test": 4})
    found = audit_folder(tmp_path / "data", epochs=1, probes=("single frame",))
    assert (found.num_train, found.num_test) == (8, 4)
    assert found.classes == config.classes


def test_an_audit_repeats_itself():
    config = replace(EASY, size=16, num_frames=4)
    one, other = (audit(config, num_train=64, num_test=32, epochs=1) for _ in range(2))
    assert one == other


def test_what_cannot_be_audited_is_refused():
    nothing = rendered(EASY, "test", 0)
    with pytest.raises(DataError, match="0 test clips"):
        audit_videos(rendered(EASY, "train", 2), nothing, EASY.classes, pair_names(EASY))
    with pytest.raises(ConfigError, match="probe 'one frame' does not exist; there are single frame"):
        audit(EASY, num_train=2, num_test=2, probes=("one frame",))
    assert list(itertools.islice(PROBES, 1)) == ["single frame"]
