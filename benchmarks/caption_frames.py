"""What single frames of captions tell of motion, without a network: `python -m benchmarks.caption_frames`.

Given the look, the likeliest of all action sequences by the sprite's place and size, in 16 × 16 cells; from half
of the clips for the other half. Ties go by chance.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor

from benchmarks import measure
from tubelet.data.synthetic.caption_clips import CAPTIONS, caption_paths, caption_scene
from tubelet.data.synthetic.captions import Caption, combinations

CELLS, NUM_CLIPS = 16, 2400
SPREADS = (1.0, CAPTIONS.spread)


def main() -> None:
    arguments = measure.options(__doc__)
    measure.headline("single frames of the caption set")
    captions = combinations(CAPTIONS.colours[:1], CAPTIONS.shapes[:1], CAPTIONS.motions)
    figures = {
        str(spread): told(captions, spread, 200 if arguments.quick else NUM_CLIPS) for spread in SPREADS
    }
    columns = ["spread", *(f"frame {i + 1}" for i in range(CAPTIONS.num_frames)), "at an unknown time"]
    measure.table(columns, [[spread, *shares.values()] for spread, shares in figures.items()])
    print(f"chance is {100 / len(captions):.1f} %")
    measure.finish("caption_frames", figures=figures, ratios={}, keep=not arguments.quick)


def told(captions: Sequence[Caption], spread: float, num_clips: int) -> dict[str, float]:
    """Per cent of clips whose actions a frame tells, by the frame's number, and of a frame of any time."""
    times = torch.linspace(0, 1, CAPTIONS.num_frames, dtype=torch.float64)
    cells = torch.zeros(len(captions), num_clips, len(times), dtype=torch.int64)
    for number, caption in enumerate(captions):
        for index in range(num_clips):
            draws = caption_scene(CAPTIONS, captions[0], "train", index).draws
            paths = caption_paths(caption, draws, times, spread)
            states = (paths.centre[:, 0, 0], paths.size[:, 0])
            place, size = ((state * CELLS).long().clamp(max=CELLS - 1) for state in states)
            cells[number, index] = place * CELLS + size
    seen, asked = cells.chunk(2, dim=1)
    by_time = {str(t + 1): right(seen[..., t], asked[..., t]) for t in range(len(times))}
    return {**by_time, "any": right(seen.flatten(1), asked.flatten(1))}


def right(seen: Int64[Tensor, "captions clips"], asked: Int64[Tensor, "captions clips"]) -> float:
    """Per cent of cells that are likeliest under their own caption."""
    counts = torch.rand(len(seen), CELLS**2, generator=torch.Generator().manual_seed(0)) * 1e-3
    counts.scatter_add_(1, seen, torch.ones(seen.shape))
    own = torch.arange(len(seen))[:, None]
    return round(100 * float((counts.argmax(dim=0)[asked] == own).float().mean()), 1)


if __name__ == "__main__":
    main()
