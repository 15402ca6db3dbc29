"""Values that change from step to step."""

import math
from dataclasses import dataclass

from tubelet.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CosineSchedule:
    """A straight ramp, then half a cosine, over optimizer steps.

    The ramp runs from `start` at step 0 to `peak` at step `warmup_steps` - 1; the cosine begins at `peak` again
    and would reach `final` one step after the last, as in VideoMAE's and VideoMamba's training code. With
    `ramp_ends_on_peak` off the ramp is one step longer: `peak` comes at step `warmup_steps` alone, as in training
    on video and text. With `cosine_from_start` the cosine counts from step 0 instead of the end of the ramp, so
    that the value jumps down there, as in X-CLIP's training. No step's value is below `floor`, neither on the
    ramp nor on the cosine.

    Parts that learn faster or slower follow the curve `scale` times as high; with `final_scales` off they end
    where all others do.
    """

    peak: float
    final: float
    num_steps: int
    warmup_steps: int = 0
    start: float = 0.0
    ramp_ends_on_peak: bool = True
    cosine_from_start: bool = False
    floor: float = 0.0
    final_scales: bool = True

    def __post_init__(self) -> None:
        if self.num_steps < 1 or not 0 <= self.warmup_steps <= self.num_steps:
            raise ConfigError(
                f"a schedule of {self.num_steps} steps cannot warm up for {self.warmup_steps}; "
                "train longer or warm up for fewer epochs"
            )

    def __call__(self, step: int, scale: float = 1.0) -> float:
        """The value at a step, counted from 0."""
        return max(self._unbounded(step, scale), self.floor * (scale if self.final_scales else 1.0))

    def _unbounded(self, step: int, scale: float) -> float:
        peak, final = self.peak * scale, self.final * (scale if self.final_scales else 1.0)
        if step < self.warmup_steps:
            length = self.warmup_steps - 1 if self.ramp_ends_on_peak else self.warmup_steps
            ramp = step / length if length else 0.0
            return self.start * scale + (peak - self.start * scale) * ramp
        start = 0 if self.cosine_from_start else self.warmup_steps
        turn = math.pi * (step - start) / (self.num_steps - start)
        return final + 0.5 * (peak - final) * (1 + math.cos(turn))
