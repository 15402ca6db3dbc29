from dataclasses import replace

import pytest
import torch
from torch import Tensor

from tubelet.errors import ConfigError
from tubelet.layers.drop import DropPath
from tubelet.layers.embed import keep
from tubelet.models import ARCHITECTURES, VARIANTS, Backbone, architecture_of, build_model, variant
from tubelet.models.videomae import (
    ClassifierConfig,
    Encoder,
    EncoderConfig,
    PretrainerConfig,
    VideoMAEClassifier,
    VideoMAEPretrainer,
    tubelet_targets,
)
from tubelet.ops.attention import attention_definition
from tubelet.ops.resample import resize_positions

ENCODER = EncoderConfig(dim=16, depth=2, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8))
CLASSIFIER = ClassifierConfig(encoder=ENCODER, num_classes=5, head_init_scale=1.0)
PRETRAINER = PretrainerConfig(encoder=ENCODER, decoder_dim=12, decoder_depth=1, decoder_num_heads=3)

# Millions of parameters: of the classifier with 400 classes, of the pre-trainer (the paper's appendix, and
# counted on the published classes).
PUBLISHED = {
    "videomae_small": 22.034,
    "videomae_base": 86.535,
    "videomae_large": 304.271,
    "videomae_huge": 632.119,
    "videomae_small_pretrain": 24.029,
    "videomae_base_pretrain": 94.211,
    "videomae_large_pretrain": 342.997,
    "videomae_huge_pretrain": 692.487,
    "videomae_small_detector": 21.911,
    "videomae_base_detector": 86.289,
}


def clips(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 4, 16, 16)


def masks(batch: int = 2, num_masked: int = 5) -> Tensor:
    return torch.stack([torch.randperm(8) < num_masked for _ in range(batch)])


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_builds_with_as_many_parameters_as_published(name: str):
    with torch.device("meta"):
        model = build_model(variant(name))
    millions = sum(p.numel() for p in model.parameters()) / 1e6
    if name in PUBLISHED:
        assert round(millions, 3) == PUBLISHED[name]
    assert isinstance(model, Backbone) == (not name.endswith("_detector"))  # those judge boxes
    assert type(model) is ARCHITECTURES[architecture_of(variant(name))][1]


def test_an_unknown_variant_is_told_the_closest():
    with pytest.raises(ConfigError, match="videomae_bsae does not exist; did you mean videomae_base"):
        variant("videomae_bsae")
    with pytest.raises(ConfigError, match="EncoderConfig is not the config of a model"):
        architecture_of(ENCODER)


def test_the_encoder_is_what_its_docstring_says():
    encoder = Encoder(ENCODER, last_norm=True)
    clip = clips()
    tokens = encoder.embed(clip) + encoder.position
    for block in encoder.blocks:
        tokens = block(tokens)
    torch.testing.assert_close(encoder(clip), encoder.norm(tokens))


def test_a_mask_chooses_tokens_before_the_first_block():
    encoder = Encoder(ENCODER, last_norm=False)
    clip, visible = clips(), ~masks()
    encoder.blocks = encoder.blocks[:0]
    torch.testing.assert_close(encoder(clip, visible), keep(encoder(clip), visible), rtol=1e-5, atol=1e-6)


def test_visible_tokens_do_not_know_of_hidden_ones():
    model = VideoMAEPretrainer(PRETRAINER).eval()
    clip, masked = clips(1), torch.arange(8)[None] >= 4  # the second time index
    changed = clip.clone()
    changed[:, :, 2:] += 1
    assert torch.equal(model(clip, masked), model(changed, masked))
    assert not torch.equal(model.encoder(clip), model.encoder(changed))


def test_a_mask_that_hides_nothing_encodes_everything():
    encoder = Encoder(ENCODER, last_norm=True)
    clip = clips()
    everything = torch.ones(2, 8, dtype=torch.bool)
    torch.testing.assert_close(encoder(clip, everything), encoder(clip), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pool", ["mean", "first"])
def test_the_classifier_pools_norms_and_classifies(pool: str):
    model = build_model(replace(CLASSIFIER, pool=pool)).eval()
    assert isinstance(model, VideoMAEClassifier)
    clip = clips()
    tokens = model.tokens(clip)
    pooled = model.pool_norm(tokens.mean(dim=1)) if pool == "mean" else tokens[:, 0]
    assert tokens.shape == (2, 8, 16)
    torch.testing.assert_close(model.features(clip), pooled)
    torch.testing.assert_close(model(clip), model.head(pooled))


def test_without_positions_the_mean_does_not_see_the_order_of_tubelets():
    model = build_model(CLASSIFIER).eval()
    assert isinstance(model, VideoMAEClassifier)
    clip = clips()
    swapped = torch.cat([clip[:, :, 2:], clip[:, :, :2]], dim=2)
    assert not torch.allclose(model(clip), model(swapped), rtol=1e-4, atol=1e-5)
    model.encoder.position.zero_()
    torch.testing.assert_close(model(clip), model(swapped), rtol=1e-5, atol=1e-5)


def test_clips_of_a_batch_do_not_see_each_other():
    model = build_model(CLASSIFIER).eval()
    clip = clips(3)
    torch.testing.assert_close(model(clip)[1:2], model(clip[1:2]), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 3, 8, 16, 16), (1, 3, 4, 24, 32), (1, 3, 2, 8, 8)])
def test_a_clip_of_another_size_gets_its_positions_resampled(shape: tuple[int, ...]):
    encoder = Encoder(ENCODER, last_norm=False)
    tokens = encoder(torch.randn(shape))
    assert tokens.shape[1] == (shape[2] // 2) * (shape[3] // 8) * (shape[4] // 8)


def test_an_odd_frame_at_the_end_changes_nothing():
    model, clip = build_model(CLASSIFIER).eval(), torch.randn(1, 3, 5, 16, 16)
    torch.testing.assert_close(model(clip), model(clip[:, :, :4]))


def test_the_pretrainer_predicts_as_many_pixels_as_are_hidden():
    model = VideoMAEPretrainer(PRETRAINER)
    predicted = model(clips(), masks(num_masked=5))
    assert predicted.shape == (2, 5, 2 * 8 * 8 * 3)
    assert model(clips(), torch.zeros(2, 8, dtype=torch.bool)).shape == (2, 8, 384)


def test_predictions_follow_their_places_not_the_order_of_the_mask_tokens():
    model = VideoMAEPretrainer(PRETRAINER).eval()
    clip, masked = clips(1), masks(1)
    tokens = model.decoder_input(model.encoder(clip, ~masked), masked, (2, 2, 2))
    order = torch.cat([torch.arange(3), 3 + torch.randperm(5)])
    shuffled = model.decoder(tokens[:, order], 5)
    torch.testing.assert_close(shuffled, model.decoder(tokens, 5)[:, order[3:] - 3], rtol=1e-5, atol=1e-5)


def test_targets_are_the_hidden_pixels_channel_last():
    clip, masked = torch.rand(1, 3, 4, 16, 16), masks(1, 3)
    targets = tubelet_targets(clip, masked, (2, 8, 8), normalize=False)
    for row, token in enumerate(masked[0].nonzero().flatten().tolist()):
        t, h, w = token // 4, token // 2 % 2, token % 2
        part = clip[0, :, 2 * t : 2 * t + 2, 8 * h : 8 * h + 8, 8 * w : 8 * w + 8]
        assert torch.equal(targets[0, row].reshape(2, 8, 8, 3), part.permute(1, 2, 3, 0))


def test_normalized_targets_have_no_mean_and_unit_deviation_per_channel():
    clip = torch.rand(2, 3, 4, 16, 16) * torch.tensor([1.0, 0.5, 0.1]).view(3, 1, 1, 1)
    targets = tubelet_targets(clip, masks(), (2, 8, 8), normalize=True).unflatten(2, (-1, 3))
    torch.testing.assert_close(targets.mean(dim=2), torch.zeros(2, 5, 3), rtol=0, atol=1e-4)
    torch.testing.assert_close(targets.std(dim=2), torch.ones(2, 5, 3), rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("masked", "message"),
    [
        (torch.zeros(2, 7, dtype=torch.bool), "the mask covers 7 tubelets; the clip has 8"),
        (torch.arange(8).expand(2, 8) < torch.tensor([[3], [5]]), "samples mask 3 to 5 tubelets"),
        (torch.ones(2, 8, dtype=torch.bool), "all 8 tubelets are masked"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_with_both_numbers(masked: Tensor, message: str):
    with pytest.raises(ConfigError, match=message):
        VideoMAEPretrainer(PRETRAINER)(clips(), masked)


def test_a_clip_of_other_channels_is_refused_with_both_numbers():
    with pytest.raises(ConfigError, match="the clip has 1 channels; the model takes 3"):
        build_model(CLASSIFIER)(torch.randn(1, 1, 4, 16, 16))
    grey = replace(CLASSIFIER, encoder=replace(ENCODER, channels=1))
    assert build_model(grey)(torch.randn(1, 1, 4, 16, 16)).shape == (1, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_heads": 3}, "dim 16 does not divide into 3 heads"),
        ({"num_heads": 0}, "dim 16 does not divide into 0 heads"),
        ({"num_frames": 1}, r"num_frames 1 is smaller than a tubelet \(2, 8, 8\)"),
        ({"image_size": 7}, "image_size 7 is smaller than a tubelet"),
        ({"drop_path": 1.0}, "drop_path 1.0 is not a share"),
    ],
)
def test_a_config_refuses_nonsense(change: dict, message: str):
    with pytest.raises(ConfigError, match=message):
        replace(ENCODER, **change)


def test_drop_path_grows_over_the_encoder_and_spares_the_decoder():
    encoder = replace(ENCODER, depth=3, drop_path=0.2)
    model = VideoMAEPretrainer(replace(PRETRAINER, encoder=encoder, decoder_depth=2))
    rates = [m.rate for m in model.encoder.modules() if isinstance(m, DropPath)]
    assert rates == [0.0, 0.1, 0.2]
    assert [m.rate for m in model.decoder.modules() if isinstance(m, DropPath)] == [0.0, 0.0]


@pytest.mark.parametrize(("position", "trains"), [("learned", True), ("frozen", False)])
def test_stored_positions_train_only_where_they_are_learned(position: str, trains: bool):
    model = build_model(replace(CLASSIFIER, encoder=replace(ENCODER, position=position)))
    model(clips()).sum().backward()
    table = dict(model.named_parameters())["encoder.position"]
    assert (table.grad is not None) == trains


def test_fixed_positions_are_not_stored():
    assert not any("position" in key for key in build_model(PRETRAINER).state_dict())


@pytest.mark.parametrize("config", [CLASSIFIER, PRETRAINER], ids=["classifier", "pretrainer"])
def test_recomputing_gives_the_same_gradients(config: ClassifierConfig | PretrainerConfig):
    model = build_model(config)
    inputs = (clips(), masks()) if config is PRETRAINER else (clips(),)
    found = []
    for recompute in (False, True):
        for module in model.modules():
            if hasattr(module, "recompute"):
                setattr(module, "recompute", recompute)  # noqa: B010 - nn.Module hides it from types
        model.zero_grad()
        model(*inputs).square().mean().backward()
        found.append({name: p.grad for name, p in model.named_parameters()})
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=0, atol=0, msg=name)


def test_the_model_computes_its_attention_as_defined(monkeypatch: pytest.MonkeyPatch):
    model, clip = build_model(CLASSIFIER).eval(), clips()
    fast = model(clip)
    monkeypatch.setattr("tubelet.layers.attention.attention", attention_definition)
    torch.testing.assert_close(fast, model(clip), rtol=1e-5, atol=1e-5)


def test_models_start_as_published():
    classifier, pretrainer = (
        build_model(replace(c, encoder=replace(ENCODER, dim=64, num_heads=4)))
        for c in (CLASSIFIER, PRETRAINER)
    )
    assert isinstance(classifier, VideoMAEClassifier)
    assert isinstance(pretrainer, VideoMAEPretrainer)
    weight = classifier.get_parameter("encoder.blocks.0.mlp.fc1.weight").detach()
    assert abs(float(weight.std()) - 0.02) < 0.002
    small = build_model(replace(CLASSIFIER, head_init_scale=0.001))
    assert float(small.get_parameter("head.weight").detach().abs().max()) < 1e-4
    bound = (6 / (64 + 3 * 64)) ** 0.5
    q = pretrainer.get_parameter("encoder.blocks.0.attn.q.weight").detach()
    assert 0.95 * bound < float(q.abs().max()) <= bound
    assert float(pretrainer.mask_token.detach().abs().max()) <= 0.02


def test_a_fixed_table_may_be_that_of_other_clips_resampled():
    """How InternVideo trained models for clips of other sizes than 16 frames of 224 pixels."""
    base = EncoderConfig(dim=16, depth=1, num_heads=2, num_frames=4, image_size=16, tubelet=(2, 8, 8))
    larger = replace(base, num_frames=8, image_size=32)
    resampled = replace(larger, position_grid=base.grid)
    tables = [Encoder(config, last_norm=False).position for config in (base, larger, resampled)]
    assert torch.equal(tables[2], resize_positions(tables[0], base.grid, larger.grid))
    assert tables[1].shape == tables[2].shape
    assert not torch.allclose(tables[1], tables[2])
    for wrong in ({"position_grid": (0, 2, 2)}, {"position_grid": (2, 2, 2), "position": "learned"}):
        with pytest.raises(ConfigError, match="position_grid is"):
            replace(base, **wrong)
