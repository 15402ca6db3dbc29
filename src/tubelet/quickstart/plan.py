"""The numbers of the quickstart, in one place."""

from dataclasses import dataclass, replace

from tubelet.data.synthetic.synth import QUICKSTART, SynthConfig
from tubelet.errors import ConfigError
from tubelet.quickstart import videomae, videomamba
from tubelet.quickstart.script import Script, Training
from tubelet.recipes import Recipe, find_recipe

SCRIPTS: dict[str, Script] = {"videomae": videomae.SCRIPT, "videomamba": videomamba.SCRIPT}

# Longer and larger than the model's clip of 8 frames of 32 pixels: otherwise all views of a test were the same.
MOTION_SET = replace(QUICKSTART, size=36, num_frames=10)


@dataclass(frozen=True, kw_only=True)
class QuickstartPlan:
    """Whose quickstart it is, what is rendered, how it is learned, and how much of it the page shows.

    `num_train`, `num_val` and `num_test` count videos; `num_test` is a multiple of the number of motions, so that
    every class is held out equally often. `prepare` are assignments to the recipe of the first training, as on
    the command line, and `compare` to those of the two that are compared. The seed of `data` is replaced by the
    seed of the run.
    """

    model: str = "videomae"
    data: SynthConfig = MOTION_SET
    num_train: int = 1200
    num_val: int = 80
    num_test: int = 400
    prepare: tuple[str, ...] = ()
    compare: tuple[str, ...] = ()
    validate_every: int = 1  # epochs
    num_reconstructions: int = 4  # where the model fills in pixels
    num_mistakes: int = 6  # shown at most, beside one video of each class

    def __post_init__(self) -> None:
        if self.model not in SCRIPTS:
            raise ConfigError(f"{self.model!r} has no quickstart; there are {', '.join(SCRIPTS)}")
        if self.num_test < 1 or self.num_test % len(self.data.motions):
            raise ConfigError(
                f"num_test is {self.num_test}; it must be a multiple of the {len(self.data.motions)} motions"
            )

    @property
    def script(self) -> Script:
        """The story of the plan's model."""
        return SCRIPTS[self.model]

    @property
    def sizes(self) -> dict[str, int]:
        """Videos of each split."""
        return {"train": self.num_train, "val": self.num_val, "test": self.num_test}

    def rendered(self, seed: int) -> SynthConfig:
        """The data set of a seed."""
        return replace(self.data, seed=seed)

    def recipe(self, training: Training, seed: int) -> Recipe:
        """What one of the script's trainings does with a seed."""
        settings = self.prepare if training == self.script.preparation else self.compare
        return replace(find_recipe(training.recipe, settings), seed=seed)
