"""Cards say what is on record, in words that the hub reads, and nothing else."""

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.inference.checkpoints import CLASSIFIER, ENCODER, INPUT, PRETRAINER, checkpoint
from tests.test_cli import error_line, tubelet
from tests.weights import test_clip as clips
from tubelet.config import read_toml, write_toml
from tubelet.data.label_sets import label_set
from tubelet.data.synthetic.synth import SynthConfig
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import VARIANTS
from tubelet.models.detector import DetectorConfig
from tubelet.publishing.card import card_licence, card_of, is_own, write_card
from tubelet.publishing.evaluations import Evaluation, read_evaluations, record_evaluation, weights_sha256
from tubelet.publishing.known import Known, known_of, licence_of, published_source, published_starts
from tubelet.weights.catalog import catalog, published
from tubelet.weights.ensemble import averaged
from tubelet.weights.files import Checkpoint, save_checkpoint
from tubelet.weights.label_maps import with_classes

hub = pytest.importorskip("huggingface_hub")


def saved(folder: Path, config: Any = CLASSIFIER, labels: tuple[str, ...] = (), **facts: Any) -> Path:
    made = checkpoint(config, labels, INPUT)
    save_checkpoint(folder, Checkpoint(config, made.state, made.labels, {**made.facts, **facts}))
    return folder


def converted_from(name: str, folder: Path) -> Path:
    """A folder that says it was converted from a published checkpoint; its weights are not those."""
    source = {"published": name, "file": "a.pth", "layout": "official", "sha256": "0" * 64}
    return saved(folder, source=source)


def card(folder: Path, **how: Any) -> tuple[Any, str]:
    """The front matter as the hub reads it, and the text."""
    found = hub.ModelCard.load(write_card(folder, **how))
    return found.data, found.text


def test_a_converted_checkpoint_has_the_figures_of_its_authors_and_their_licence(tmp_path: Path):
    data, text = card(converted_from("videomae_finetune_k400_vit_b_e1600", tmp_path / "k400"))
    assert (data.license, data.library_name, data.pipeline_tag) == (
        "cc-by-nc-4.0",
        "tubelet",
        "video-classification",
    )
    assert data.datasets is None  # what the hub calls it is not on record
    assert {"tubelet", "videomae", "kinetics-400"} <= set(data.tags)
    results = {result.metric_name: result for result in data.eval_results}
    top1 = results["top1, reported by the authors, not repeated with tubelet"]
    assert (top1.metric_type, top1.metric_value, top1.dataset_name) == ("accuracy", 81.5, "Kinetics-400")
    assert top1.metric_args == {"protocol": "5 clips x 3 crops"}
    assert top1.source_url is None  # figures are the model zoo's, which papers may not have
    assert "**Reported by the authors** in percent, and not repeated with tubelet" in text
    assert "Measured by" not in text
    assert "CC-BY-NC-4.0, given by its authors. **It forbids commercial use.**" in text
    assert "@inproceedings{tong2022videomae," in text
    assert "0" * 64 in text
    assert weights_sha256(tmp_path / "k400") in text


def test_figures_after_fine_tuning_are_no_results_of_what_was_pretrained(tmp_path: Path):
    folder = saved(tmp_path / "pre", PRETRAINER, source={"published": "videomae-base"})
    data, text = card(folder)
    assert not data.eval_results
    assert "| fine-tuned top1 | 81.5 |" in text
    assert "are of models tuned from these weights" in text
    assert (data.base_model, data.pipeline_tag) == ("MCG-NJU/videomae-base", "feature-extraction")


@pytest.fixture(scope="module")
def any_known(tmp_path_factory: pytest.TempPathFactory) -> Known:
    return known_of(saved(tmp_path_factory.mktemp("any") / "model"))


@pytest.mark.parametrize("name", catalog())
def test_every_entry_of_the_catalogue_makes_a_card_that_the_hub_reads(
    name: str, any_known: Known, tmp_path: Path
):
    folder, entry = tmp_path, published(name)
    known = replace(
        any_known,
        entry=entry,
        config=entry.config,
        labels=label_set(entry.labels) if entry.labels and entry.labels != "config.json" else (),
        licence=licence_of(entry, None),
    )
    (folder / "README.md").write_text(card_of(known), encoding="utf-8")
    data = hub.ModelCard.load(folder / "README.md").data
    assert data.license == entry.licence.lower()
    told = [figure for figure in entry.reported if not figure.startswith("fine-tuned")]
    assert len(data.eval_results or []) >= len(told)
    assert is_own((folder / "README.md").read_text(encoding="utf-8"))


def test_figures_written_as_one_are_told_apart(any_known: Known, tmp_path: Path):
    entry = published("videomamba_m16_5M_f8_res224")
    (tmp_path / "README.md").write_text(card_of(replace(any_known, entry=entry, config=entry.config)))
    results = hub.ModelCard.load(tmp_path / "README.md").data.eval_results
    found = {(r.dataset_name, r.metric_name.partition(",")[0]): r.metric_value for r in results}
    assert len(found) == len(results) == 30
    assert (found["MSR-VTT", "t2v R@1"], found["MSR-VTT", "t2v R@10"]) == (32.0, 63.6)
    assert found["ActivityNet", "v2t R@5"] == 58.8


def evaluation(folder: Path, **facts: Any) -> Evaluation:
    plain: dict[str, Any] = {
        "data": "motions",
        "split": "test",
        "views": "5 clips",
        "metrics": {"top1": 0.75, "loss": 0.5, "num_videos": 4.0},
        "weights_sha256": weights_sha256(folder),
        "date": "2026-11-21",
        "tubelet": "0.1.0",
    }
    return Evaluation(**{**plain, **facts})


def test_measured_figures_say_so_and_are_of_these_very_weights(tmp_path: Path):
    folder = saved(tmp_path / "mine")
    record_evaluation(folder, evaluation(folder))
    record_evaluation(folder, evaluation(folder, metrics={"top1": 0.5}))  # the same test again
    record_evaluation(folder, evaluation(folder, data="others", weights_sha256="1" * 64))
    assert [e.metrics for e in read_evaluations(folder)] == [{"top1": 0.5}]
    data, text = card(folder)
    (result,) = data.eval_results
    assert (result.metric_value, result.dataset_name, result.dataset_split) == (50, "motions", "test")
    assert result.source_name is None
    assert "**Measured by tubelet evaluate** (tubelet 0.1.0) on 2026-11-21 on motions" in text
    assert "Reported by the authors" not in text
    assert "others" not in text
    save_checkpoint(folder, checkpoint(CLASSIFIER, (), INPUT))  # other weights
    assert "None is on record" in card(folder)[1]


def test_a_runs_own_test_is_told_while_its_model_is_what_it_left(tmp_path: Path):
    folder = saved(
        tmp_path / "runs" / "model", labels=("a|b", "<c>"), source={"recipe": {"task": "classification"}}
    )
    said = {"videos": "the test split of /home/me/motions", "views": "2 clips", "tubelet": "0.1.0"}
    write_toml(
        tmp_path / "runs" / "test.toml", {**said, "weights_sha256": "2" * 64, "metrics": {"top1": 1.0}}
    )
    assert "None is on record" in card(folder)[1]
    write_toml(
        tmp_path / "runs" / "test.toml",
        {**said, "weights_sha256": weights_sha256(folder), "metrics": {"top1": 1.0}},
    )
    data, text = card(folder)
    assert "the test split of motions" in text
    assert "/home/me" not in text
    assert data.eval_results[0].metric_value == 100
    assert text.startswith("\n<!--")
    assert "# runs" in text
    assert "a\\|b, \\<c\\>" in text
    assert "| `task` | classification |" in text
    assert data.license == "unknown"


def test_what_training_began_with_is_not_lost(tmp_path: Path):
    init = {"name": "run", "init": {"published": "videomae-base-finetuned-kinetics"}}
    folder = saved(tmp_path / "tuned", source={"recipe": {}, "init": init})
    data, text = card(folder, licence="mit")
    assert data.base_model == "MCG-NJU/videomae-base-finetuned-kinetics"
    assert "MIT" not in text
    assert "mit, given by whoever published it here." in text
    assert "**It was made from weights under CC-BY-NC-4.0, which forbids commercial use.**" in text


def test_the_catalogue_knows_a_file_by_its_place_and_its_checksum():
    digest = "743da61c97f6281bd11ef1d364c2101698c8e89ff7722ee957378e36ef344005"
    found = published_source({"sha256": digest})
    assert found is not None
    assert found.name == "k400_k710_uniformerv2_b16_8x224"
    there = published_source({"address": f"hf:MCG-NJU/videomae-base@{'0' * 40}"})
    assert there is not None
    assert there.name == "videomae-base"
    place = "hf:OpenGVLab/VideoMamba"
    mirrored = published_source({"address": f"{place}@{'0' * 40}/videomamba_m16_in1k_res224.pth"})
    assert mirrored is not None
    assert mirrored.name == "videomamba_m16_in1k_res224"
    assert published_source({"address": f"{place}/another.pth"}) is None
    assert published_source({"address": "https://a.b/c", "file": "k400_16_16.pth"}) is None
    assert published_starts({"file": "x"}) == []


def test_a_card_changed_by_hand_is_kept(tmp_path: Path):
    folder = saved(tmp_path / "mine")
    path = write_card(folder)
    assert write_card(folder, repository="me/motions") == path
    text = path.read_text(encoding="utf-8")
    assert 'tubelet.load("hf:me/motions")' in text
    for changed in (text + "\nMy cat walks left.\n", text.replace("tubelet\n", "keras\n", 1), "# Mine\n"):
        path.write_text(changed, encoding="utf-8")
        with pytest.raises(ConfigError, match=r"README\.md was written or changed by hand; say --overwrite"):
            write_card(folder)
        assert path.read_text(encoding="utf-8") == changed
    write_card(folder, overwrite=True)
    assert is_own(path.read_text(encoding="utf-8"))


def test_wrong_words_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = converted_from("videomae_finetune_k400_vit_b_e1600", tmp_path / "k400")
    assert tubelet("card", folder, "--licence", "mit") == 1
    assert "which their authors give under CC-BY-NC-4.0; leave --licence out" in error_line(capsys)
    assert tubelet("card", saved(tmp_path / "mine"), "--licence", "do what you want") == 1
    assert "is none of the hub's words for licences" in error_line(capsys)
    assert tubelet("card", tmp_path / "mine", "--repository", "motions") == 1
    assert "'motions' is no repository; write OWNER/NAME" in error_line(capsys)
    (tmp_path / "empty").mkdir()
    assert tubelet("card", tmp_path / "empty") == 1
    assert "is not a checkpoint folder" in error_line(capsys)
    assert list((tmp_path / "empty").iterdir()) == []
    assert tubelet("card", tmp_path / "mine", "--licence", "MIT") == 0
    assert card_licence(tmp_path / "mine" / "README.md") == "mit"


def test_front_matter_that_nobody_can_read_is_told(tmp_path: Path):
    (tmp_path / "README.md").write_text("---\nlicense: [mit\n---\n# Mine\n")
    with pytest.raises(ConfigError, match=r"README\.md has no front matter that the hub could read"):
        card_licence(tmp_path / "README.md")


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    write_dataset(
        SynthConfig(motions=("move_left", "move_right"), size=32, num_frames=8), folder, {"test": 2}
    )
    return next(folder.rglob("*.mp4"))


@pytest.fixture(scope="module")
def motions(video: Path) -> Path:
    """The data set that the video is of."""
    return next(parent for parent in video.parents if (parent / "test.csv").exists())


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


USED = {
    "classifier": CLASSIFIER,
    "pretrainer": PRETRAINER,
    "detector": DetectorConfig(encoder=ENCODER, num_classes=3),
    "xclip": VARIANTS["xclip_nano"],
    "viclip": VARIANTS["viclip_nano"],
    "internvideo": VARIANTS["internvideo_mm_nano"],
    "uniformerv2": VARIANTS["uniformerv2_nano"],
    "videomamba": VARIANTS["videomamba_nano"],
    "videomambapro": VARIANTS["videomambapro_nano"],
    "videomamba_pretrainer": VARIANTS["videomamba_nano_pretrain"],
    "cross_model": VARIANTS["cross_model_nano"],
    "answerer": VARIANTS["internvideo_qa_nano"],
    "clip": clips.FULL,
    "clip_tower": clips.TINY,
}


@pytest.mark.parametrize("name", USED)
def test_the_lines_of_a_card_work(
    name: str,
    video: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    pytest.importorskip("ftfy")
    monkeypatch.chdir(tmp_path)
    made = checkpoint(USED[name])
    folder = Path('my *best* "model"')
    save_checkpoint(folder, made)
    Path("video.mp4").write_bytes(video.read_bytes())
    text = write_card(folder).read_text(encoding="utf-8")
    assert '# my \\*best\\* "model"\n' in text
    for block in blocks(text, "bash"):
        for line in block.splitlines():
            assert tubelet(*shlex.split(line)[1:], "--device", "cpu") == 0, line
    (python,) = blocks(text, "python")
    exec(compile(python, "card", "exec"), {})
    assert capsys.readouterr().out


def test_figures_are_recorded_by_evaluate(motions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = saved(tmp_path / "mine", labels=("moving left", "moving right"))
    judged = ("evaluate", folder, "--data", motions, "--device", "cpu", "--record")
    assert tubelet(*judged) == 0
    (found,) = read_toml(folder / "evaluations.toml")["evaluation"]
    assert (found["split"], found["metrics"]["num_videos"]) == ("test", 2)
    assert found["views"].startswith("2 clips × 3 crops of 4 frames")
    assert "Measured by tubelet evaluate" in card(folder)[1]
    assert tubelet("evaluate", "videomae-base", "--data", motions, "--record") == 1
    assert "--record keeps figures in the model's folder, and videomae-base is none" in error_line(capsys)


def test_a_broken_checkpoint_gets_no_card(tmp_path: Path):
    folder = saved(tmp_path / "mine")
    (folder / "model.safetensors").write_bytes(b"half")
    with pytest.raises(WeightsError):
        write_card(folder)
    assert not (folder / "README.md").exists()


def test_what_is_fed_is_told(tmp_path: Path):
    spec = replace(INPUT, sampling="uniform", short_side=20, fps=12.5)
    folder = tmp_path / "mine"
    save_checkpoint(folder, checkpoint(CLASSIFIER, (), spec))
    _, text = card(folder)
    assert "| frames | 4, sampling `uniform`, as at 12.5 frames per second |" in text
    assert "| pixels | 16² out of a short side of 20 |" in text
    assert "| mean | 0.485, 0.456, 0.406 |" in text


def test_weights_made_of_others_have_not_their_figures_but_their_licence(tmp_path: Path):
    source = {"published": "videomae_finetune_k400_vit_b_e1600", "remarks": ["taken for granted"]}
    made = checkpoint(CLASSIFIER, ("left", "right"), INPUT)
    tuned = Checkpoint(made.config, made.state, made.labels, {**made.facts, "source": source})
    mixed, turned = averaged(tuned, made), with_classes(tuned, ("right", "left"))
    for what, found in (
        ("average", mixed),
        ("relabel", turned),
        ("relabel", with_classes(turned, ("left",))),
    ):
        save_checkpoint(tmp_path / "made", found)
        data, text = card(tmp_path / "made")
        assert not data.eval_results
        assert "Reported by the authors" not in text
        assert f"It was made out of other checkpoints by `tubelet {what}`" in text
        assert "**It was made from weights under CC-BY-NC-4.0, which forbids commercial use.**" in text


def test_the_parent_that_forbids_most_is_named():
    parents = [{"published": "xclip_k400_16_8"}, {"init": {"published": "videomae-base"}}, {"file": "x"}]
    assert [entry.name for entry in published_starts({"init": parents})] == [
        "videomae-base",
        "xclip_k400_16_8",
    ]
