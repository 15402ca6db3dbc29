"""What a family's quickstart consists of: three trainings, what is tested, and how the page speaks of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tubelet.quickstart.charts import Chart
from tubelet.recipes import Recipe
from tubelet.train.run import RunResult


@dataclass(frozen=True, kw_only=True)
class Training:
    """One of the trainings. `key` names its folder, its figures and its time.

    `init` is the key of an earlier training whose encoder it starts from, `teacher` that of one whose model it
    learns from.
    """

    key: str
    recipe: str
    title: str  # said as it begins
    spent: str  # what its time is called
    init: str | None = None
    teacher: str | None = None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A finished training."""

    recipe: Recipe
    result: RunResult


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A tested classifier by its training's key, and how the page calls it; `style` gives its colour."""

    key: str
    name: str
    short: str
    phrase: str  # in a sentence
    style: str


@dataclass(frozen=True, kw_only=True)
class Script:
    """The story that a family's quickstart tells.

    The model of `preparation` helps that of `hero`; `rival` is the same model without such help, trained by the
    same recipe otherwise. `arms` are the classifiers in the order of the page, hero first, rival second.

    `facts` gives figures that only this family has, from the finished trainings and the results so far; `chart`
    draws the first curve of the page from the results. `template` fills the page's blocks.
    """

    family: str
    preparation: Training
    hero: Training
    rival: Training
    arms: tuple[Arm, ...]
    facts: Callable[[Mapping[str, Trained], dict[str, Any]], dict[str, Any]]
    chart: Callable[[dict[str, Any]], Chart]
    template: str
    command: str  # that starts it
    own_videos: tuple[tuple[str, tuple[str, ...]], ...]  # what to try next, under a heading each
    reconstructs: str | None = None  # the training whose model fills in hidden pixels

    @property
    def trainings(self) -> tuple[Training, ...]:
        """In the order in which they run."""
        return self.preparation, self.hero, self.rival

    @property
    def parts(self) -> dict[str, str]:
        """What the parts that take time are called, by the clock's keys."""
        spent = {training.key: training.spent for training in self.trainings}
        return {"rendering": "rendering videos", **spent, "report": "prediction and report"}
