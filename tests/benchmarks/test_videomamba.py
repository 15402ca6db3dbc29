import xml.etree.ElementTree as ElementTree
from pathlib import Path

import torch

from benchmarks.plot import Panel, write_plot
from benchmarks.video_transformers import DividedAttention, JointAttention
from benchmarks.videomamba import lean_mixers, slope
from tubelet.models.videomamba import ClassifierConfig, EncoderConfig, VideoMambaClassifier


def test_fused_and_unfused_attention_compute_the_same():
    fused, unfused = JointAttention().eval(), JointAttention(fused=False).eval()
    unfused.load_state_dict(fused.state_dict())
    clip = torch.randn(2, 3, 2, 32, 32)
    torch.testing.assert_close(fused(clip), unfused(clip), rtol=1e-4, atol=1e-5)


def test_divided_attention_sees_other_frames_and_other_places():
    model, clip = DividedAttention().eval(), torch.randn(1, 3, 2, 32, 32)
    for frame, rows in ((0, slice(0, 16)), (1, slice(16, 32))):
        changed = clip.clone()
        changed[:, :, frame, rows] += 1
        assert not torch.equal(model(clip), model(changed))


def test_a_model_on_lean_loops_is_the_same_model():
    encoder = EncoderConfig(dim=32, depth=2, num_frames=2, image_size=16, tubelet=(1, 8, 8))
    model = VideoMambaClassifier(ClassifierConfig(encoder=encoder, num_classes=3)).eval()
    clip = torch.randn(2, 3, 2, 16, 16)
    with lean_mixers():
        looped = model(clip)
    torch.testing.assert_close(model(clip), looped, rtol=1e-4, atol=1e-5)


def test_slopes_tell_linear_from_quadratic():
    assert slope((8, 16, 32, 64), (1.0, 2.0, 4.0, 8.0)) == 1.0
    assert slope((8, 16, 32, 64), (1.0, 4.0, 16.0, 64.0)) == 2.0


def test_a_plot_is_an_svg_with_all_points(tmp_path: Path):
    panel = Panel(
        title="time", x=(8, 16, 32), x_label="frames", curves={"a": (0.2, 0.4, 0.9), "b": (1.0, 2.0)}
    )
    write_plot(tmp_path / "plot.svg", "Title & more", "note", [panel, panel])
    tree = ElementTree.fromstring((tmp_path / "plot.svg").read_text())
    circles = tree.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2 * 5
