"""A synthetic data set on disk."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.data import rendered_folder
from tubelet.data.manifest import read_annotations, read_kinetics_csv
from tubelet.data.synthetic.synth import SynthConfig, label_of
from tubelet.data.synthetic.synth_files import read_config, write_dataset
from tubelet.data.video import Video
from tubelet.errors import DataError

CONFIG = SynthConfig(size=16, num_frames=4, fps=8)
SIZES = {"train": 6, "val": 2, "test": 3}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "data"
    write_dataset(CONFIG, folder, SIZES)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_the_lists_name_videos_and_labels(dataset: Path):
    for split, size in SIZES.items():
        annotations = read_annotations(dataset, split)
        assert annotations.classes == list(CONFIG.classes)
        assert [sample.label for sample in annotations.samples] == [
            label_of(CONFIG, split, index) for index in range(size)
        ]
        for sample in annotations.samples:
            assert len(Video(sample.path)) == 4


def test_the_kinetics_lists_say_the_same(dataset: Path):
    for split in SIZES:
        found = read_kinetics_csv(
            dataset / "kinetics" / f"{split}.csv",
            root=dataset / "videos",
            pattern="{id}.mp4",
            classes=CONFIG.classes,
        )
        plain = read_annotations(dataset, split)
        assert [s.label for s in found.samples] == [s.label for s in plain.samples]
        assert [Path(s.path) for s in found.samples] == [Path(s.path) for s in plain.samples]


def test_the_something_lists_say_the_same(dataset: Path):
    numbers = json.loads((dataset / "something/labels.json").read_text())
    assert list(numbers.values()) == [str(i) for i in range(len(CONFIG.motions))]
    for split, name in (("train", "train"), ("val", "validation")):
        entries = json.loads((dataset / "something" / f"{name}.json").read_text())
        for entry, sample in zip(entries, read_annotations(dataset, split).samples, strict=True):
            assert Path(sample.path).stem == entry["id"]
            template = entry["template"].replace("[", "").replace("]", "")
            assert numbers[template] == str(sample.label)
            assert all(placeholder in entry["label"].lower() for placeholder in entry["placeholders"])
            assert "[" not in entry["label"]
    tests = json.loads((dataset / "something/test.json").read_text())
    answers = (dataset / "something/test-answers.csv").read_text().splitlines()
    assert [entry["id"] for entry in tests] == [line.split(";")[0] for line in answers]
    labels = [int(numbers[line.split(";")[1]]) for line in answers]
    assert labels == [sample.label for sample in read_annotations(dataset, "test").samples]


def test_the_config_comes_back(dataset: Path):
    assert read_config(dataset) == CONFIG


def test_progress_counts_every_clip(tmp_path: Path):
    seen: list[tuple[int, int]] = []
    summary = write_dataset(
        CONFIG, tmp_path / "data", SIZES, on_progress=lambda done, total: seen.append((done, total))
    )
    assert seen == [(done, 11) for done in range(12)]
    assert (summary.num_written, summary.num_kept, summary.sizes) == (11, 0, SIZES)
    assert summary.bytes > 0


def test_workers_do_not_change_a_byte(dataset: Path, tmp_path: Path):
    write_dataset(CONFIG, tmp_path / "data", SIZES, num_workers=3)
    assert contents(tmp_path / "data") == contents(dataset)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_an_interrupted_run_leaves_whole_files_and_is_continued(
    dataset: Path, tmp_path: Path, num_workers: int
):
    folder = tmp_path / "data"

    def stop(done: int, total: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(CONFIG, folder, SIZES, on_progress=stop, num_workers=num_workers)
    left = contents(folder)
    whole = contents(dataset)
    assert not json.loads(left.pop("dataset.json"))["complete"]
    assert 4 <= len(left) < 11
    assert all(whole[name] == content for name, content in left.items())  # no list, no half file

    summary = write_dataset(CONFIG, folder, SIZES)
    assert summary.num_kept == len(left)
    assert contents(folder) == whole


def test_a_larger_data_set_extends_a_smaller_one(dataset: Path, tmp_path: Path):
    folder = tmp_path / "data"
    write_dataset(CONFIG, folder, {"train": 2})
    write_dataset(CONFIG, folder, SIZES)
    assert contents(folder) == contents(dataset)
    with pytest.raises(DataError, match="2 train clips were asked for, but it has 6"):
        write_dataset(CONFIG, folder, {"train": 2})


def test_another_data_set_is_never_overwritten(dataset: Path, tmp_path: Path):
    before = contents(dataset)
    with pytest.raises(DataError, match=r"another synthetic data set \(seed 0 instead of 1\)"):
        write_dataset(replace(CONFIG, seed=1), dataset, SIZES)
    assert contents(dataset) == before
    (tmp_path / "holiday.jpg").write_text("precious")
    with pytest.raises(DataError, match="not a synthetic data set"):
        write_dataset(CONFIG, tmp_path, SIZES)
    with pytest.raises(DataError, match="is a file"):
        write_dataset(CONFIG, tmp_path / "holiday.jpg", SIZES)
    assert list(tmp_path.iterdir()) == [tmp_path / "holiday.jpg"]


def test_what_a_killed_run_left_is_cleared_away(dataset: Path, tmp_path: Path):
    write_dataset(CONFIG, tmp_path / "data", {"train": 1})
    (tmp_path / "data/videos/.train000001.mp4.99.tmp").write_bytes(b"half")
    (tmp_path / "data/videos/train000001.mp4").write_bytes(b"")  # as a power cut may leave it
    write_dataset(CONFIG, tmp_path / "data", SIZES)
    assert contents(tmp_path / "data") == contents(dataset)


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rendered_folder, "write_mp4", full)
    with pytest.raises(DataError, match="could not be written: No space left on device"):
        write_dataset(CONFIG, tmp_path / "data", SIZES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no dataset.json"),
        ("{", "not JSON"),
        ("[]", "does not describe"),
        ('{"format": "tubelet-synth"}', "config cannot be used"),
        ('{"format": "tubelet-synth", "config": {"siez": 32}}', "config cannot be used"),
    ],
)
def test_a_folder_that_is_no_data_set_is_named(tmp_path: Path, text: str | None, message: str):
    if text is not None:
        (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(DataError, match=message):
        read_config(tmp_path)


def test_split_names_and_sizes_are_checked(tmp_path: Path):
    with pytest.raises(DataError, match="split 'valid' does not exist"):
        write_dataset(CONFIG, tmp_path / "data", {"valid": 3})
    with pytest.raises(DataError, match="-1 clips"):
        write_dataset(CONFIG, tmp_path / "data", {"train": -1})
    assert not (tmp_path / "data").exists()
