"""UniFormerV2: whole models with all that is in between, in both modes, and their start from CLIP."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.parity.case import Case, assert_close
from tests.parity.kinds_videomae import compare, recorded_outputs
from tests.parity.kinds_xclip import assert_official_gradients
from tests.weights.manifest_configs import uniformerv2_config
from tubelet.data.label_sets import label_set, merged_names
from tubelet.models.uniformerv2 import ClassifierConfig, UniFormerV2Classifier
from tubelet.models.uniformerv2_parts import overlapping_windows
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.build import model_config
from tubelet.weights.clip import LAYOUTS as CLIP_LAYOUTS
from tubelet.weights.clip import find_layout as find_clip
from tubelet.weights.clip import image_from_shapes
from tubelet.weights.files import Checkpoint, load_strict
from tubelet.weights.label_maps import head_rows
from tubelet.weights.rules import Rule, rename, to_official, to_ours
from tubelet.weights.uniformerv2 import LAYOUTS, find_layout
from tubelet.weights.uniformerv2_start import fill_uniformerv2


def rules_for(state: dict[str, Tensor]) -> tuple[Rule, ...]:
    layout = find_layout(state)
    assert layout is not None
    return LAYOUTS[layout[0]][layout[1]]


def config_of(facts: dict[str, Any]) -> ClassifierConfig:
    """As recorded, with the dropout of training, which manifests do not need."""
    config = uniformerv2_config(facts)
    encoder = replace(
        config.encoder,
        drop_path=float(facts.get("backbone_drop_path_rate", 0)),
        global_drop_path=float(facts.get("drop_path_rate", 0)),
        global_dropout=float(facts["mlp_dropout"][0]),
    )
    return replace(config, encoder=encoder, head_dropout=float(facts["cls_dropout"]))


def check_video(case: Case) -> None:
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    rules = rules_for(state)
    model = UniFormerV2Classifier(config_of(case.config)).train(case.config["mode"] == "train")
    load_strict(model, to_ours(state, rules))
    encoder = model.encoder
    modules: dict[str, nn.Module] = {"ln_pre": encoder.pre_norm, "fused": model.norm}
    modules |= {f"block{i}": block for i, block in enumerate(encoder.blocks)}
    for j, block in enumerate(encoder.fusion.global_blocks):
        modules |= {f"query_after_global{j}": block, f"dpe{j}": getattr(block, "position")}  # noqa: B009
    with recorded_outputs(modules) as seen:
        # Hooks see what modules return; the head's norm is what takes the fused vector.
        found = model.backbone_features(inputs["video"])
        seen["logits"] = model.logits(found)
    seen["fused"] = encoder.summary(found)
    named = {name: official_form(name, value) for name, value in seen.items()}
    windows = overlapping_windows(inputs["video"])
    strided = encoder.config.temporal_stride == 2
    named["stem"] = encoder.embed.proj(windows if strided else inputs["video"])
    named["loss"] = F.cross_entropy(named["logits"], inputs["labels"])
    after = {name: x for name, x in recorded.items() if name.startswith("buffer_after/")}
    compare(named, {name: x for name, x in recorded.items() if name not in after})
    official = to_official(model.state_dict(), rules)
    for name, value in after.items():
        assert_close(official[name.removeprefix("buffer_after/")], value, name)
    named["loss"].backward()
    assert_official_gradients(model, rules, case.tensors("grad"))
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {ours for name in case.tensors("grad") for ours in rename(name, rules) or ()}


def official_form(name: str, value: Tensor) -> Tensor:
    """Tokens come before samples in what blocks were recorded to return."""
    if name.startswith("block"):
        return value.flatten(0, 1).transpose(0, 1)
    return value.transpose(0, 1) if name.startswith("query") else value


def check_inflation(case: Case) -> None:
    """The published start: all keys that come from CLIP, and nothing of CLIP in the others."""
    inputs, recorded, state = case.tensors("in"), case.tensors("out"), case.tensors("state")
    clip = {name.removeprefix("clip/"): x for name, x in inputs.items() if name.startswith("clip/")}
    layout = find_clip(clip)
    assert layout is not None
    pretrained = Checkpoint(image_from_shapes(clip), to_ours(clip, CLIP_LAYOUTS[layout[0]][layout[1]]))
    model = UniFormerV2Classifier(config_of(case.config)).eval()
    rules = LAYOUTS["official_backbone"]["uniformerv2_classifier"]
    fresh = model.state_dict()
    filled = fill_uniformerv2(pretrained, model.config, fresh, Path("clip"))
    official = to_official(filled.state, rules)
    expected = {name.removeprefix("state/"): x for name, x in recorded.items() if name.startswith("state/")}
    assert expected.keys() == set(case.facts["keys_from_clip"])
    for name, value in expected.items():
        assert torch.equal(official[name], value), name
    assert official.keys() - expected.keys() == set(case.facts["keys_at_init"])
    for name in case.facts["keys_at_init"]:
        assert all(filled.state[ours] is fresh[ours] for ours in rename(name, rules) or ()), name
    load_strict(model, filled.state | to_ours(state | expected, rules))
    assert_close(model(inputs["video"]), recorded["logits"], "logits")


def recipe_of(name: str) -> Recipe:
    """Ours for a published config such as "k400/frozen_k400+k710_l14_f8x336"."""
    folder, _, config = name.partition("/")
    start, size, frames, pixels = re.fullmatch(r"(.+)_([bl]1[46])_f?(\d+)x(\d+)", config).groups()  # pyright: ignore[reportOptionalMemberAccess]
    size += "_336" if pixels == "336" else ""
    if start.startswith("frozen_"):
        size += "_frozen"
    if folder in ("anet", "hacs"):
        assert size == "l14"
        return find_recipe(f"uniformerv2.finetune_{folder}", [f"frames={frames}"])
    settings = [f"size={size}"]
    if folder in ("sthv1", "sthv2"):
        return find_recipe(f"uniformerv2.finetune_{start}", [*settings, f"frames={frames}"])
    if folder in ("mit", "k710"):
        assert frames == "8"
        return find_recipe("uniformerv2.k710" if folder == "k710" else "uniformerv2.finetune_mit", settings)
    settings += [f"frames={frames}", "init=" + ("k710" if start.endswith("+k710") else "clip")]
    return find_recipe(f"uniformerv2.finetune_{folder}", settings)


def check_recipes(case: Case) -> None:
    """Every published config, key by key; what decides about machines and paths aside."""
    assert case.facts["family"] == "uniformerv2"
    for name, said in case.facts["recipes"]:
        recipe = recipe_of(name)
        assert plainly(recipe) == {key: number(said.get(key, absent)) for key, absent in ABSENT.items()}, name
        # The scripts say how many videos a node has; nodes are as many as it takes.
        optim = recipe.optim
        assert optim.batch_size % int(said["TRAIN.BATCH_SIZE"]) == 0, name
        for ours, theirs in ((optim.lr, "SOLVER.BASE_LR"), (optim.min_lr, "SOLVER.COSINE_END_LR")):
            assert abs(ours * optim.batch_size / 256 - float(said[theirs])) < 1e-12, name
        assert (recipe.augment.crop, recipe.input.sampling, recipe.mix, recipe.smoothing) == (
            "resized",
            "uniform",
            None,
            0.0,
        )


# What a config that does not say a key means.
ABSENT: dict[str, Any] = {
    "AUG.NUM_SAMPLE": None,
    "AUG.AA_TYPE": None,
    "AUG.RE_PROB": None,
    "DATA.NUM_FRAMES": None,
    "DATA.RANDOM_FLIP": True,
    "DATA.TRAIN_CROP_SIZE": None,
    "DATA.TEST_CROP_SIZE": None,
    "DATA.TRAIN_JITTER_SCALES_RELATIVE": None,
    "DATA.TRAIN_JITTER_ASPECT_RELATIVE": None,
    "MODEL.NUM_CLASSES": None,
    "SOLVER.MAX_EPOCH": None,
    "SOLVER.WARMUP_EPOCHS": None,
    "SOLVER.WEIGHT_DECAY": None,
    "TEST.NUM_ENSEMBLE_VIEWS": None,
    "TEST.NUM_SPATIAL_CROPS": None,
    "UNIFORMERV2.BACKBONE_DROP_PATH_RATE": None,
    "UNIFORMERV2.CLS_DROPOUT": None,
    "UNIFORMERV2.DOUBLE_LMHRA": True,
    "UNIFORMERV2.DROP_PATH_RATE": None,
    "UNIFORMERV2.DW_REDUCTION": 1.5,
    "UNIFORMERV2.FROZEN": False,
    "UNIFORMERV2.MLP_DROPOUT": None,
    "UNIFORMERV2.MLP_FACTOR": None,
    "UNIFORMERV2.NO_LMHRA": None,
    "UNIFORMERV2.N_DIM": None,
    "UNIFORMERV2.N_HEAD": None,
    "UNIFORMERV2.N_LAYERS": None,
    "UNIFORMERV2.RETURN_LIST": None,
    "UNIFORMERV2.TEMPORAL_DOWNSAMPLE": None,
}


def number(value: Any) -> Any:
    """Command lines of scripts are recorded as strings."""
    if isinstance(value, str) and re.fullmatch(r"[\d.]+", value):
        return float(value)
    return tuple(value) if isinstance(value, list) else value


def plainly(recipe: Recipe) -> dict[str, Any]:
    """A recipe by the names of the published configs."""
    config, augment, optim, fed = model_config(recipe), recipe.augment, recipe.optim, recipe.input
    encoder = config.encoder
    assert encoder.fusion == "sequential"
    return {
        "AUG.NUM_SAMPLE": augment.views,
        "AUG.AA_TYPE": augment.randaugment,
        "AUG.RE_PROB": augment.erasing,
        "DATA.NUM_FRAMES": encoder.num_frames,
        "DATA.RANDOM_FLIP": {0.5: True, 0.0: False}[augment.flip],
        "DATA.TRAIN_CROP_SIZE": encoder.image_size,
        "DATA.TEST_CROP_SIZE": fed.short_side or fed.image_size,
        "DATA.TRAIN_JITTER_SCALES_RELATIVE": augment.scale,
        "DATA.TRAIN_JITTER_ASPECT_RELATIVE": augment.ratio,
        "MODEL.NUM_CLASSES": config.num_classes,
        "SOLVER.MAX_EPOCH": optim.epochs,
        "SOLVER.WARMUP_EPOCHS": optim.warmup_epochs,
        "SOLVER.WEIGHT_DECAY": optim.weight_decay,
        "TEST.NUM_ENSEMBLE_VIEWS": fed.num_clips,
        "TEST.NUM_SPATIAL_CROPS": fed.num_crops,
        "UNIFORMERV2.BACKBONE_DROP_PATH_RATE": encoder.drop_path,
        "UNIFORMERV2.CLS_DROPOUT": config.head_dropout,
        "UNIFORMERV2.DOUBLE_LMHRA": encoder.local_relations != 1,
        "UNIFORMERV2.DROP_PATH_RATE": encoder.global_drop_path,
        "UNIFORMERV2.DW_REDUCTION": encoder.relation_reduction,
        "UNIFORMERV2.FROZEN": encoder.frozen_backbone,
        "UNIFORMERV2.MLP_DROPOUT": (encoder.global_dropout,) * len(encoder.global_layers),
        "UNIFORMERV2.MLP_FACTOR": encoder.global_mlp_ratio,
        "UNIFORMERV2.NO_LMHRA": encoder.local_relations == 0,
        "UNIFORMERV2.N_DIM": encoder.dim,
        "UNIFORMERV2.N_HEAD": encoder.global_num_heads or encoder.num_heads,
        "UNIFORMERV2.N_LAYERS": len(encoder.global_layers),
        "UNIFORMERV2.RETURN_LIST": encoder.global_layers,
        "UNIFORMERV2.TEMPORAL_DOWNSAMPLE": encoder.temporal_stride == 2,
    }


def check_labels(case: Case) -> None:
    """Class names and how the heads of one list become those of another."""
    facts = case.facts
    if "to_alphabetical" in facts:
        published = label_set("k400_uniformerv2")
        assert list(published) == facts["labels"]
        assert head_rows(label_set("k400"), published) == facts["to_alphabetical"]
        return
    for name in ("k400", "k600", "k700", "k710"):
        assert list(label_set(name)) == facts[f"label_{name}"]
        if name != "k710":
            rows = head_rows(label_set("k710"), label_set(name), merged_names())
            assert rows == facts[f"map_{name}"]


CHECKS: dict[str, Callable[[Case], None]] = {
    "uniformerv2.video": check_video,
    "uniformerv2.inflation": check_inflation,
    "recipes": check_recipes,
    "labels": check_labels,
}
