"""Memory and time that opening weights takes: `python -m benchmarks.loading [--quick]`.

Models of random numbers of the sizes of VideoMAE ViT-B and ViT-L, as a checkpoint folder of tubelet's, an
official `.pth` file, the same in float16 with an optimizer's state beside it, and a folder of transformers. Each
job runs in a process of its own, twice; memory is the most that the process held (VmHWM) beyond what it held
after its imports and a small job of the same kind, in units of the weights in float32. Every number of a loaded
model is looked at, so that what is mapped is counted. Beside it PyTorch's own way: `torch.load`,
`load_state_dict`.
"""

import json
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

import tubelet
from benchmarks import measure
from tubelet.config import to_plain
from tubelet.data.input_spec import InputSpec
from tubelet.models import VARIANTS, build_model
from tubelet.weights.convert import convert
from tubelet.weights.export import export
from tubelet.weights.files import Checkpoint, read_checkpoint, read_tensors, save_checkpoint

SIZES = {"ViT-B": "videomae_base", "ViT-L": "videomae_large"}
SMALL = "small"  # what a job runs on first, so that what it loads of libraries is not counted
JOBS = {
    "read_checkpoint().build()": "ours",
    "tubelet.load": "ours",
    "convert, official .pth": "official.pth",
    "convert, .pth in float16": "half.pth",
    "convert, transformers' safetensors": "hf",
    "torch.load, load_state_dict": "plain.pth",
}
ROUNDS = 2


def main() -> None:
    if len(sys.argv) == 4 and sys.argv[1] == "--job":
        print(json.dumps(job(sys.argv[2], Path(sys.argv[3]))))
        return
    arguments = measure.options(__doc__)
    torch.set_num_threads(1)
    measure.headline("Opening weights: memory in units of the weights, and seconds")
    sizes = {"ViT-S": "videomae_small"} if arguments.quick else SIZES
    figures: dict[str, dict[str, dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name) / SMALL, tiny())
        for size, variant in sizes.items():
            folder = Path(name) / size
            mib = prepare(folder, VARIANTS[variant])
            figures[size] = {}
            for title in JOBS:
                runs = [
                    json.loads(measure.child_output("benchmarks.loading", "--job", title, str(folder)))
                    for _ in range(ROUNDS)
                ]
                figures[size][title] = {
                    "weights MiB": round(mib),
                    "memory / weights": round(max(run["MiB"] for run in runs) / mib, 2),
                    "seconds": round(min(run["seconds"] for run in runs), 2),
                }
            measure.table(
                [size, "weights MiB", "memory / weights", "seconds"],
                [[title, *found.values()] for title, found in figures[size].items()],
            )
    ratios = {
        size: {job: row["memory / weights"] for job, row in rows.items()} for size, rows in figures.items()
    }
    measure.finish("loading", figures=figures, ratios=ratios, keep=not arguments.quick)


def tiny() -> object:
    small = VARIANTS["videomae_small"]
    return replace(small, encoder=replace(small.encoder, depth=1, dim=64, num_heads=1))


def prepare(folder: Path, config: object) -> float:
    """Write a model in every layout; the size of its weights in MiB."""
    folder.mkdir()
    facts = {"input": to_plain(InputSpec(num_frames=16, image_size=224))}
    checkpoint = Checkpoint(config, build_model(config).state_dict(), facts=facts)
    save_checkpoint(folder / "ours", checkpoint)
    export(checkpoint, folder / "hf", "hf")
    export(checkpoint, folder, "official")
    (folder / "checkpoint.pth").rename(folder / "official.pth")
    torch.save(checkpoint.state, folder / "plain.pth")
    whole = read_tensors(folder / "official.pth")
    moments = {
        i: {"exp_avg": tensor, "exp_avg_sq": tensor.clone()} for i, tensor in enumerate(whole.values())
    }
    half = {key: tensor.half() for key, tensor in whole.items()}
    torch.save({"model": half, "optimizer": {"state": moments}}, folder / "half.pth")
    return sum(tensor.nbytes for tensor in checkpoint.state.values()) / (1 << 20)


def job(title: str, folder: Path) -> dict[str, float]:
    """What one job takes in this process."""
    torch.set_num_threads(1)
    run(title, folder.with_name(SMALL))
    before, started = measure.peak_mib(), time.perf_counter()
    run(title, folder)
    return {"MiB": measure.peak_mib() - before, "seconds": time.perf_counter() - started}


def run(title: str, folder: Path) -> None:
    source = folder / JOBS[title]
    if title.startswith("convert"):
        with tempfile.TemporaryDirectory(dir=folder) as out:
            # Of heads of other sizes than the published ones' the tensors tell nothing, so the config is given.
            config = None if source.is_dir() else read_checkpoint(folder / "ours").config
            save_checkpoint(Path(out), convert(source, config))
        return
    if title == "tubelet.load":
        model = tubelet.load(source).model
    elif title.startswith("read_checkpoint"):
        model = read_checkpoint(source).build()
    else:
        model = build_model(read_checkpoint(folder / "ours").config)
        model.load_state_dict(torch.load(source, weights_only=True))
    for tensor in model.state_dict().values():
        tensor.sum()


if __name__ == "__main__":
    main()
