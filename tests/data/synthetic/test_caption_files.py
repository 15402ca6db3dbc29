"""A synthetic caption set on disk."""

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data.synthetic.test_synth_files import contents
from tubelet.data.manifest import read_annotations
from tubelet.data.splits import find_splits
from tubelet.data.synthetic.caption_clips import CaptionConfig, caption_label
from tubelet.data.synthetic.caption_files import read_caption_config, write_captions
from tubelet.data.synthetic.synth import SynthConfig
from tubelet.data.synthetic.synth_files import read_config, write_dataset
from tubelet.data.video import Video
from tubelet.errors import DataError

CONFIG = CaptionConfig(
    colours=("red", "orange"), shapes=("disc", "square"), num_unseen=8, size=16, num_frames=4
)
SIZES = {"train": 6, "val": 2, "test": 3, "unseen": 4}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("captions") / "data"
    write_captions(CONFIG, folder, SIZES)
    return folder


def test_the_lists_are_of_seen_captions_and_those_of_unseen_ones_lie_apart(dataset: Path):
    for split, size in SIZES.items():
        folder, name = (dataset / "unseen", "test") if split == "unseen" else (dataset, split)
        captions = CONFIG.split.unseen if split == "unseen" else CONFIG.split.seen
        found = read_annotations(folder, name)
        assert found.classes == [caption.text for caption in captions]
        labels = [caption_label(CONFIG, split, index) for index in range(size)]
        assert [sample.label for sample in found.samples] == labels
        assert all(len(Video(sample.path)) == 4 for sample in found.samples)


def test_a_run_on_the_folder_never_meets_an_unseen_clip(dataset: Path):
    found = find_splits(dataset)
    samples = [*found.train, *found.val, *found.test]
    assert len(samples) == 11
    assert not any("unseen" in sample.path.removeprefix(str(dataset)) for sample in samples)
    assert not set(found.classes) & {caption.text for caption in CONFIG.split.unseen}


def test_the_table_gives_every_clip_its_caption(dataset: Path):
    rows = list(csv.DictReader((dataset / "captions.csv").read_text().splitlines()))
    assert len(rows) == 15
    for row in rows:
        folder = dataset / "unseen" if row["path"].startswith("unseen/") else dataset
        found = [
            read_annotations(folder, split)
            for split in ("train", "val", "test")
            if (folder / f"{split}.csv").exists()
        ]
        captions = {
            Path(sample.path): (annotations.classes or [])[sample.label or 0]
            for annotations in found
            for sample in annotations.samples
        }
        assert captions[dataset / row["path"]] == row["caption"]


def test_the_config_comes_back(dataset: Path):
    assert read_caption_config(dataset) == CONFIG


def test_an_interrupted_run_is_continued_and_a_smaller_set_extended(dataset: Path, tmp_path: Path):
    def stop(done: int, total: int) -> None:
        assert total == 15
        if done == 13:  # among the unseen ones
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_captions(CONFIG, tmp_path / "cut", SIZES, on_progress=stop)
    assert write_captions(CONFIG, tmp_path / "cut", SIZES, num_workers=2).num_kept >= 13
    assert contents(tmp_path / "cut") == contents(dataset)

    write_captions(CONFIG, tmp_path / "small", {"train": 2})
    write_captions(CONFIG, tmp_path / "small", SIZES)
    assert contents(tmp_path / "small") == contents(dataset)


def test_a_folder_of_something_else_is_refused(dataset: Path, tmp_path: Path):
    with pytest.raises(DataError, match=r"another synthetic caption set \(seed 0 instead of 1\)"):
        write_captions(replace(CONFIG, seed=1), dataset, SIZES)
    motions = SynthConfig(size=16, num_frames=4)
    with pytest.raises(DataError, match="does not describe a synthetic data set"):
        write_dataset(motions, dataset, {"train": 1})
    with pytest.raises(DataError, match="does not describe a synthetic data set"):
        read_config(dataset)
    write_dataset(motions, tmp_path / "motions", {"train": 1})
    with pytest.raises(DataError, match="does not describe a synthetic caption set"):
        write_captions(CONFIG, tmp_path / "motions", SIZES)


def test_without_unseen_captions_there_is_no_such_folder(tmp_path: Path):
    config = replace(CONFIG, num_unseen=0)
    with pytest.raises(DataError, match="4 unseen clips were asked for, but num_unseen is 0"):
        write_captions(config, tmp_path / "data", SIZES)
    write_captions(config, tmp_path / "data", {"train": 2})
    assert not (tmp_path / "data/unseen").exists()
