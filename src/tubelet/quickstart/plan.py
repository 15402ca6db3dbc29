"""The numbers of the quickstart, in one place."""

from dataclasses import dataclass, replace

from tubelet.data.synth import QUICKSTART, SynthConfig
from tubelet.errors import ConfigError
from tubelet.recipes import Recipe, find_recipe

# Longer and larger than the model's clip of 8 frames of 32 pixels: otherwise all views of a test were the same.
MOTION_SET = replace(QUICKSTART, size=36, num_frames=10)


@dataclass(frozen=True, kw_only=True)
class QuickstartPlan:
    """What is rendered, how it is learned, and how much of it the page shows.

    `num_train`, `num_val` and `num_test` count videos; `num_test` is a multiple of the number of motions, so that
    every class is held out equally often. `pretrain` and `finetune` are assignments to the two tiny recipes, as
    on the command line; training from scratch uses `finetune` as it is. The seed of `data` is replaced by the
    seed of the run.
    """

    data: SynthConfig = MOTION_SET
    num_train: int = 1200
    num_val: int = 80
    num_test: int = 400
    pretrain: tuple[str, ...] = ()
    finetune: tuple[str, ...] = ()
    validate_every: int = 1  # epochs
    num_reconstructions: int = 4
    num_mistakes: int = 6  # shown at most, beside one video of each class

    def __post_init__(self) -> None:
        if self.num_test < 1 or self.num_test % len(self.data.motions):
            raise ConfigError(
                f"num_test is {self.num_test}; it must be a multiple of the {len(self.data.motions)} motions"
            )

    @property
    def sizes(self) -> dict[str, int]:
        """Videos of each split."""
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}

    def rendered(self, seed: int) -> SynthConfig:
        """The data set of a seed."""
        return replace(self.data, seed=seed)

    def pretraining(self, seed: int) -> Recipe:
        """The masked pre-training of a seed."""
        return replace(find_recipe("videomae.pretrain_tiny", self.pretrain), seed=seed)

    def finetuning(self, seed: int) -> Recipe:
        """The supervised training of a seed: the same after pre-training and from scratch."""
        return replace(find_recipe("videomae.finetune_tiny", self.finetune), seed=seed)
