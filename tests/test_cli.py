"""The command line: what a user types, what comes back, and what a mistake looks like."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.cli import main
from tubelet.config import read_toml
from tubelet.data.manifest import read_annotations
from tubelet.data.synthetic.synth import LEVELS
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.errors import ConfigError

TINY = (
    "input.num_frames=8",
    "optim.epochs=1",
    "optim.warmup_epochs=0",
    "optim.batch_size=4",
    "model.encoder.depth=1",
    "model.encoder.dim=12",
)


def tubelet(*arguments: object) -> int:
    """The exit code of a command."""
    before = sys.argv
    sys.argv = ["tubelet", *map(str, arguments)]
    try:
        main()
    except SystemExit as leaving:
        return int(leaving.code or 0)
    finally:
        sys.argv = before
    return 0


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("motions") / "set"
    config = replace(LEVELS["L0"], motions=("move_left", "move_right"), size=32, num_frames=8, sprites=1)
    write_dataset(config, folder, {"train": 8, "val": 2, "test": 4})
    return folder


@pytest.fixture(scope="module")
def trained(motions: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert tubelet("train", "videomae.finetune_tiny", *TINY, "--data", motions, "--out", out) == 0
    return out


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a mistake prints."""
    printed = capsys.readouterr().err
    lines = [line for line in printed.splitlines() if line.startswith("error:")]
    assert len(lines) == 1, printed
    assert "Traceback" not in printed
    return lines[0]


def test_a_run_leaves_a_model_that_predicts_and_evaluates(
    trained: Path, motions: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    clip = next((motions / "videos").rglob("test*.mp4"))
    assert tubelet("predict", trained / "model", clip, "--json", "--device", "cpu") == 0
    found = json.loads(capsys.readouterr().out)
    assert sorted(found["labels"]) == ["moving left", "moving right"]
    assert sum(found["scores"]) == pytest.approx(1)
    figures = tmp_path / "figures.json"
    assert tubelet("evaluate", trained / "model", "--data", motions, "--json", figures) == 0
    assert json.loads(figures.read_text())["num_videos"] == 4


def test_pretraining_feeds_training(motions: Path, tmp_path: Path):
    pretrained = tmp_path / "pretrained"
    sizes = (*TINY, "model.decoder_dim=12")
    assert tubelet("pretrain", "videomae.pretrain_tiny", *sizes, "--data", motions, "--out", pretrained) == 0
    arguments = (*TINY, "--data", motions, "--out", tmp_path / "tuned", "--init", pretrained / "model")
    assert tubelet("train", "videomae.finetune_tiny", *arguments) == 0


def test_models_and_recipes_are_listed(capsys: pytest.CaptureFixture[str]):
    assert tubelet("models") == 0
    listed = capsys.readouterr().out
    assert "videomae_base" in listed
    assert re.search(r"videomae_base_detector\W+detector", listed)
    assert "videomae.finetune_ssv2" in listed


def test_a_checkpoint_goes_to_hugging_face_and_back(trained: Path, tmp_path: Path):
    assert tubelet("export", trained / "model", tmp_path / "hf", "--to", "hf") == 0
    assert tubelet("convert", tmp_path / "hf", tmp_path / "back") == 0
    before, back = (
        read_toml(folder / "config.toml")["input"] for folder in (trained / "model", tmp_path / "back")
    )
    for name in ("num_frames", "image_size", "short_side", "mean", "std"):
        assert back[name] == before[name], name


def test_a_converted_checkpoint_says_what_the_model_is_fed(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert tubelet("export", trained / "model", tmp_path / "hf", "--to", "hf") == 0
    (tmp_path / "hf" / "preprocessor_config.json").write_text('{"image_mean": [0.5, 0.5, 0.5], "size": 32}')
    changes = ("input.sampling=segments", "input.stride=2", "input.num_clips=2")
    assert tubelet("convert", tmp_path / "hf", tmp_path / "back", *changes) == 0
    fed = read_toml(tmp_path / "back" / "config.toml")["input"]
    assert (fed["sampling"], fed["stride"], fed["num_clips"]) == ("segments", 2, 2)
    assert (fed["mean"], fed["std"]) == ([0.5, 0.5, 0.5], [0.229, 0.224, 0.225])
    for wrong, says in (("input.strid=2", "did you mean input.stride?"), ("num_classes=2", "need --model")):
        assert tubelet("convert", tmp_path / "hf", tmp_path / "wrong", wrong) == 1
        assert says in error_line(capsys)
    assert not (tmp_path / "wrong").exists()


def test_a_folder_of_videos_is_predicted_one_by_one(
    trained: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for clip in list((motions / "videos").rglob("test*.mp4"))[:2]:
        (tmp_path / clip.name).write_bytes(clip.read_bytes())
    assert tubelet("predict", trained / "model", tmp_path, "--json", "--device", "cpu") == 0
    found = [json.loads(line)["video"] for line in capsys.readouterr().out.splitlines()]
    assert found == sorted(str(path) for path in tmp_path.iterdir())


def test_an_evaluation_goes_by_the_names_of_classes(
    trained: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    clips = {sample.label: Path(sample.path) for sample in read_annotations(motions, "test").samples}
    clip = tmp_path / "set" / "test" / "moving right" / "clip.mp4"
    clip.parent.mkdir(parents=True)
    clip.write_bytes(clips[1].read_bytes())
    assert tubelet("predict", trained / "model", clip, "--json", "--device", "cpu") == 0
    best = json.loads(capsys.readouterr().out)["labels"][0]
    figures = tmp_path / "figures.json"
    assert tubelet("evaluate", trained / "model", "--data", tmp_path / "set", "--json", figures) == 0
    assert json.loads(figures.read_text())["top1"] == (best == "moving right")
    clip.parent.rename(clip.parent.with_name("hopping"))
    assert tubelet("evaluate", trained / "model", "--data", tmp_path / "set") == 1
    assert "'hopping' is none of the 2 classes" in error_line(capsys)


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"", "empty"), (b"plain text, no video\n" * 20, "not a video")],
)
def test_a_file_that_is_no_video_is_one_line(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, says: str
):
    clip = tmp_path / "clip.mp4"
    if content is not None:
        clip.write_bytes(content)
    assert tubelet("predict", trained / "model", clip, "--device", "cpu") == 1
    line = error_line(capsys)
    assert "clip.mp4" in line
    assert says in line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("videomae.finetune_tny",), "did you mean videomae.finetune_tiny?"),
        (("videomae.finetune_tiny", "optim.lrr=1"), "did you mean optim.lr?"),
        (("videomae.finetune_tiny", "model.encoder.deepth=1"), "did you mean"),
        (("videomae.finetune_tiny", "optim.lr=fast"), "optim.lr is 'fast'"),
        (("videomae.pretrain_tiny",), "tubelet pretrain videomae.pretrain_tiny"),
        (("videomae.finetune_tiny", "model.num_heads=5"), "model"),
    ],
)
def test_a_setting_that_does_not_exist_suggests_the_closest(
    motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], says: str
):
    assert tubelet("train", *words, "--data", motions, "--out", tmp_path / "run") == 1
    assert says in error_line(capsys)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("a.mp4 0\nb.mp4\n", "line 2"),
        ("a.mp4 0\nb.mp4 one\n", "line 2"),
        ("a.mp4 0\nb.mp4 -1\n", "line 2"),
        ("a.mp4 0\nb.mp4 5000\n", "5000"),
        ("", "empty"),
    ],
)
def test_a_list_that_is_wrong_names_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: str, says: str
):
    (tmp_path / "train.csv").write_text(lines)
    (tmp_path / "val.csv").write_text("a.mp4 0\n")
    arguments = (*TINY, "--data", tmp_path, "--out", tmp_path / "run")
    assert tubelet("train", "videomae.finetune_tiny", *arguments) == 1
    assert says in error_line(capsys)
    assert not (tmp_path / "run").exists()


def test_evaluation_with_missing_videos_reports_no_score_unless_told_to(
    trained: Path, motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    good = next((motions / "videos").rglob("test*.mp4"))
    (tmp_path / "list.csv").write_text(f"{good} 0\n{tmp_path / 'gone.mp4'} 1\n")
    assert tubelet("evaluate", trained / "model", "--data", tmp_path / "list.csv") == 1
    assert "1 of 2 videos could not be read" in error_line(capsys)
    assert tubelet("evaluate", trained / "model", "--data", tmp_path / "list.csv", "--allow-missing") == 0


def test_a_damaged_checkpoint_is_one_line(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.toml").write_bytes((trained / "model" / "config.toml").read_bytes())
    (folder / "model.safetensors").write_bytes((trained / "model" / "model.safetensors").read_bytes()[:500])
    assert tubelet("predict", folder, "clip.mp4") == 1
    assert "model.safetensors" in error_line(capsys)


def test_debug_shows_where_a_mistake_surfaced(tmp_path: Path):
    with pytest.raises(ConfigError):
        tubelet("train", "nonsense", "--data", tmp_path, "--out", tmp_path / "run", "--debug")


def test_synth_continues_and_refuses_another_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ("synth", tmp_path / "set", "size=32", "num_frames=4", "--train", 4, "--val", 2, "--test", 2)
    assert tubelet(*words) == 0
    assert tubelet(*words) == 0
    assert "8 already there" in capsys.readouterr().err
    assert tubelet(*words, "seed=7") == 1
    assert "seed" in error_line(capsys)


def test_synth_writes_captions_and_keeps_unseen_ones_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("synth", tmp_path / "set", "--captions", "--train", 4, "--val", 2, "--test", 2)
    few = ('colours=["red", "blue"]', "num_unseen=12", "size=16")
    assert tubelet(*words, *few) == 0
    assert "10 clips written" in capsys.readouterr().err
    assert len(read_annotations(tmp_path / "set/unseen", "test").samples) == 2
    assert tubelet(*words, *few, "motions=hop") == 1
    assert "motions" in error_line(capsys)
    assert tubelet(*words, *few, "--level", "L2") == 1
    assert "--captions" in error_line(capsys)


def test_a_regression_on_the_command_line(motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    data, run = tmp_path / "data", tmp_path / "run"
    data.mkdir()
    for split in ("train", "val", "test"):
        samples = read_annotations(motions, split).samples
        lines = (f"{Path(s.path).resolve()},{i / 3}\n" for i, s in enumerate(samples))
        (data / f"{split}.csv").write_text("".join(lines))
    words = ("videomae.finetune_tiny", "task=regression", "smoothing=0", *TINY)
    assert tubelet("train", *words, "--data", data, "--out", run) == 0
    assert "mae" in capsys.readouterr().out
    figures = tmp_path / "figures.json"
    assert tubelet("evaluate", run / "model", "--data", data, "--json", figures) == 0
    recorded = read_toml(run / "test.toml")["metrics"]
    assert json.loads(figures.read_text()) == pytest.approx(recorded, rel=1e-5)
    capsys.readouterr()
    video = read_annotations(motions, "test").samples[0].path
    assert tubelet("predict", run / "model", video, "--json") == 0
    assert isinstance(json.loads(capsys.readouterr().out)["value"], float)


def test_the_command_line_starts_without_torchs_compiler():
    # It would take as long to import as all the rest.
    program = "import sys, tubelet.cli; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
