import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.models import build_model
from tubelet.models.detector import DetectorConfig, VideoMAEDetector
from tubelet.models.videomae import EncoderConfig

CONFIG = DetectorConfig(
    encoder=EncoderConfig(dim=16, depth=1, num_heads=2, num_frames=4, image_size=32, tubelet=(2, 8, 8)),
    num_classes=6,
)
BOXES = torch.tensor([[0.0, 0.0, 16.0, 32.0], [4.0, 6.0, 30.0, 20.0], [0.0, 0.0, 32.0, 32.0]])


def detector() -> VideoMAEDetector:
    model = build_model(CONFIG).eval()
    assert isinstance(model, VideoMAEDetector)
    return model


def test_every_box_gets_a_score_per_class():
    model = detector()
    scores = model(torch.randn(2, 3, 4, 32, 32), BOXES, torch.tensor([0, 1, 1]))
    assert scores.shape == (3, 6)


def test_a_box_sees_its_own_clip_alone():
    model, clip = detector(), torch.randn(2, 3, 4, 32, 32)
    scores = model(clip, BOXES, torch.tensor([0, 1, 0]))
    torch.testing.assert_close(
        scores[1:2], model(clip[1:], BOXES[1:2], torch.tensor([0])), rtol=1e-4, atol=1e-5
    )


def test_a_box_of_the_whole_frame_sees_the_time_mean_of_all_tokens():
    model, clip = detector(), torch.randn(1, 3, 4, 32, 32)
    regions = model.regions(clip, BOXES[2:], torch.tensor([0]))
    maps = model.encoder(clip).reshape(1, 2, 4, 4, 16).mean(dim=1)
    assert regions.shape == (1, 16, 7, 7)
    # The middle of seven cells samples once, at 3.5 sevenths of four tokens: at coordinate 2.
    torch.testing.assert_close(regions[0, :, 3, 3], maps[0, 2, 2], rtol=1e-4, atol=1e-5)


def test_frames_of_another_size_are_fine_if_patches_fit():
    model = detector()
    assert model(torch.randn(1, 3, 4, 40, 24), BOXES[:1], torch.tensor([0])).shape == (1, 6)
    with pytest.raises(ConfigError, match=r"frames of 36×24 pixels do not divide into patches of \(8, 8\)"):
        model(torch.randn(1, 3, 4, 36, 24), BOXES[:1], torch.tensor([0]))


def test_a_clip_without_people_gives_no_scores():
    model = detector()
    none = torch.zeros(0, dtype=torch.long)
    assert model(torch.randn(1, 3, 4, 32, 32), torch.zeros(0, 4), none).shape == (0, 6)
