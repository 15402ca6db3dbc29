"""What an InternVideo takes from CLIP and from other InternVideos."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.inference.checkpoints import checkpoint
from tests.models.test_internvideo import TINY
from tubelet.errors import ConfigError, WeightsError
from tubelet.models import build_model
from tubelet.models.clip import Clip, ClipConfig
from tubelet.models.internvideo import InternVideo
from tubelet.models.internvideo_qa import answerer
from tubelet.weights.files import Checkpoint, read_checkpoint, save_checkpoint
from tubelet.weights.finetune import fill_from

TOWER = replace(TINY.video.tower, embed_dim=TINY.text.embed_dim)
CLIP = ClipConfig(image=TOWER, text=TINY.text)


def saved(found: Checkpoint, folder: Path) -> Path:
    save_checkpoint(folder, found)
    return folder


def test_clip_gives_both_towers_and_the_way_to_their_space(tmp_path: Path):
    init = saved(checkpoint(CLIP), tmp_path / "clip")
    model = build_model(TINY)
    start = fill_from(model, TINY, init)
    assert start.unused == []
    assert [name.partition(" ")[0] for name in start.fresh] == [
        "video.balance",
        "video.fusion",
        "text.mask_token",
        "caption",
        "predictor",
    ]
    ours, theirs = model.state_dict(), read_checkpoint(init).state
    for key, name in (("video_proj.weight", "image.proj.weight"), ("logit_scale", "logit_scale")):
        assert torch.equal(ours[key], theirs[name])


def test_a_frame_is_embedded_as_clip_does_where_global_blocks_add_nothing(tmp_path: Path):
    init = saved(checkpoint(CLIP), tmp_path / "clip")
    model = build_model(TINY).eval()
    fill_from(model, TINY, init)
    clip = read_checkpoint(init).build().eval()
    assert isinstance(clip, Clip)
    assert isinstance(model, InternVideo)
    frame = torch.randn(2, 3, 1, 16, 16)
    with torch.no_grad():
        found = model.video.observed_backbone(frame, ())[0].cls
        ours = model.video_proj(model.video_norm(found))
        torch.testing.assert_close(ours, clip.image(frame[:, :, 0]))
        tokens = torch.tensor([[1, 5, 7, 19, 0, 0, 0], [1, 19, 0, 0, 0, 0, 0]])
        torch.testing.assert_close(model.text_features(tokens), clip.text(tokens))


def test_a_head_for_other_answers_is_new_and_one_for_as_many_is_kept(tmp_path: Path):
    init = saved(checkpoint(answerer(TINY, 3)), tmp_path / "qa")
    same, other = answerer(TINY, 3), answerer(TINY, 5)
    assert fill_from(build_model(same), same, init).fresh == []
    assert fill_from(build_model(other), other, init).fresh == ["head (2 tensors)"]


def test_a_head_gives_its_rows_by_the_names_of_answers(tmp_path: Path):
    config = answerer(TINY, 3)
    theirs = replace(checkpoint(config), labels=("red", "left", "blue"))
    init = saved(theirs, tmp_path / "qa")
    model = build_model(config)
    fresh = {key: value.clone() for key, value in model.state_dict().items()}
    start = fill_from(model, config, init, ("left", "green", "red"))
    assert start.remarks == ["the head's rows for 2 of 3 answers, by name"]
    for key in ("head.fc2.weight", "head.fc2.bias"):
        ours, rows = model.state_dict()[key], theirs.state[key]
        assert torch.equal(ours, torch.stack([rows[1], fresh[key][1], rows[0]]))


def test_a_head_whose_answers_have_no_names_is_kept_and_that_is_said(tmp_path: Path):
    config = answerer(TINY, 3)
    init = saved(checkpoint(config), tmp_path / "qa")
    start = fill_from(build_model(config), config, init, ("left", "green", "red"))
    assert start.fresh == []
    assert start.remarks == [
        "the head's 3 answers have no names and are taken to be the data's in this order"
    ]


def test_a_model_for_questions_starts_from_captions(tmp_path: Path):
    init = saved(checkpoint(TINY), tmp_path / "iv")
    config = answerer(TINY, 3)
    start = fill_from(build_model(config), config, init)
    assert start.fresh == ["head (6 tensors)"]
    unused = {name.partition(" ")[0] for name in start.unused}
    assert unused == {"logit_scale", "video_proj", "text.proj", "predictor"}


def test_positions_are_resampled_for_frames_of_another_size(tmp_path: Path):
    large = replace(CLIP, image=replace(TOWER, image_size=32))
    init = saved(checkpoint(large), tmp_path / "large")
    assert fill_from(build_model(TINY), TINY, init).remarks == [
        "positions resampled from 4 × 4 to 2 × 2 patches"
    ]


def test_what_does_not_fit_is_refused(tmp_path: Path):
    heads = replace(CLIP, text=replace(CLIP.text, num_heads=1))
    with pytest.raises(ConfigError, match="text tower with num_heads 1 instead of 2"):
        fill_from(build_model(TINY), TINY, saved(checkpoint(heads), tmp_path / "heads"))
    short = replace(CLIP, text=replace(CLIP.text, context_length=5))
    with pytest.raises(ConfigError, match=r"reads texts of 5 tokens.*set model\.text\.context_length=5"):
        fill_from(build_model(TINY), TINY, saved(checkpoint(short), tmp_path / "short"))
    wide = replace(CLIP, image=replace(TOWER, dim=24))
    with pytest.raises(WeightsError, match="is of another size"):
        fill_from(build_model(TINY), TINY, saved(checkpoint(wide), tmp_path / "wide"))
    with pytest.raises(ConfigError, match="an InternVideo starts from CLIP or InternVideo"):
        fill_from(build_model(TINY), TINY, saved(checkpoint(TOWER), tmp_path / "tower"))
