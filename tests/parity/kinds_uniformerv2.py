"""UniFormerV2's published configs as recipes, and its orders of classes."""

import re
from collections.abc import Callable
from typing import Any

from tubelet.data.label_sets import label_set, merged_names
from tubelet.parity.case import Case
from tubelet.recipes import Recipe, find_recipe
from tubelet.train.build import model_config
from tubelet.weights.label_maps import head_rows


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
    "recipes": check_recipes,
    "labels": check_labels,
}
