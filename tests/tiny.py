"""The smallest real data set and recipes: 8 frames of 32 pixels, two motions, a few thousand weights."""

from pathlib import Path

from tubelet.data.synthetic.synth import SynthConfig
from tubelet.data.synthetic.synth_files import write_dataset
from tubelet.recipes import Recipe, find_recipe

MOTIONS = ("move_left", "move_right")
SIZES = {"train": 8, "val": 4, "test": 4}

SHARED = (
    "input.num_frames=8",
    "input.num_clips=2",
    "input.num_crops=1",
    "model.encoder.dim=24",
    "model.encoder.num_heads=2",
    "model.encoder.depth=2",
    "model.encoder.tubelet=[2, 16, 16]",
    "optim.lr=4e-3",
    "optim.batch_size=4",
    "optim.epochs=4",
    "optim.warmup_epochs=1",
)


def write_motions(folder: Path, sizes: dict[str, int] | None = None) -> Path:
    config = SynthConfig(motions=MOTIONS, size=32, num_frames=8, texture=0.0, noise=0.0)
    write_dataset(config, folder, sizes or SIZES)
    return folder


def finetuning(*assignments: str) -> Recipe:
    """Fine-tuning with everything random switched on."""
    return find_recipe(
        "videomae.finetune_tiny",
        [
            *SHARED,
            "augment.randaugment=rand-m7-n4-mstd0.5-inc1",
            "augment.flip=0.5",
            "augment.erasing=0.5",
            "augment.views=2",
            "optim.layer_decay=0.8",
            "optim.ema=0.9",
            "model.encoder.drop_path=0.3",
            "model.dropout=0.2",
            *assignments,
        ],
    )


def pretraining(*assignments: str) -> Recipe:
    """Masked pre-training of the same encoder."""
    sizes = ("model.decoder_dim=12", "model.decoder_depth=1", "model.decoder_num_heads=2", "mask_ratio=0.5")
    return find_recipe("videomae.pretrain_tiny", [*SHARED, *sizes, *assignments])
