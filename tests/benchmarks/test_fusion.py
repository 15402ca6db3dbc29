"""What the fusion benchmark asks can be answered by nobody who knows the look or the motion alone."""

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.fusion import DATA, LOOKS, QUESTIONS, Bench, with_classifier, with_learned_weight
from tubelet.config import to_plain
from tubelet.data.splits import find_splits
from tubelet.data.synthetic.synth import scene_of
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.inference.load import load
from tubelet.models import build_model, variant
from tubelet.recipes import find_recipe
from tubelet.weights.cross_model import joined
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint

SIZES = {"train": 1, "val": 8, "test": 2}


def test_neither_looks_nor_motions_tell_a_mixed_answer():
    answer = QUESTIONS["mixed"].answer
    for look in range(len(LOOKS)):
        assert Counter(answer(look, motion) for motion in range(4)) == dict.fromkeys(range(4), 1)
    for motion in range(4):
        assert Counter(answer(look, motion) for look in range(len(LOOKS))) == dict.fromkeys(range(4), 3)


def test_lists_answer_their_question_and_classifiers_fit_them(tmp_path: Path):
    videos = tmp_path / "videos"
    write_dataset(DATA, videos, SIZES)
    bench = Bench(videos=videos, out=tmp_path / "out", seed=0, sizes=SIZES, epochs={})
    data = bench.lists("mixed", QUESTIONS["mixed"], "val")
    splits = find_splits(data)
    assert (len(splits.train), len(splits.test)) == (8, 2)
    look = scene_of(DATA, "val", 5).looks[0]
    motion = find_splits(videos).val[5].label
    assert splits.train[5].label == (DATA.colours.index(look.colour) + (motion or 0)) % 4

    folders = []
    for name, recipe in (
        ("videomae_tiny", "cross_model.train_nano"),
        ("uniformerv2_nano", "uniformerv2.train_nano"),
    ):
        spec, size = find_recipe(recipe).input, variant(name)
        shallow: dict[str, Any] = {"depth": 2, **({"global_layers": (1,)} if name.startswith("uni") else {})}
        config = replace(size, encoder=replace(size.encoder, **shallow))
        checkpoint = Checkpoint(config, build_model(config).state_dict(), facts={"input": to_plain(spec)})
        save_checkpoint(tmp_path / name, checkpoint)
        folders.append(with_classifier(tmp_path / name, data, tmp_path / f"{name}-mixed"))
    both = [read_checkpoint(folder) for folder in folders]
    assert all(checkpoint.labels == QUESTIONS["mixed"].classes for checkpoint in both)
    save_checkpoint(tmp_path / "joined", joined(both[0], both[1], num_stages=2))
    weighed = read_checkpoint(with_learned_weight(tmp_path / "joined", data, tmp_path / "weighed")).state
    start = load(tmp_path / "joined").model.state_dict()
    assert [name for name, value in start.items() if not torch.equal(value, weighed[name])] == ["fusion"]
