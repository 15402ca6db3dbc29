"""What two frozen models know together: `python -m benchmarks.fusion [--quick] [--clips N]`.

Every clip shows a sprite of one of four colours that moves in one of four directions. Two tiny models learn, on
many clips, what such models learn: a VideoMAE hidden pixels and then the motions, a UniFormerV2 that is without
relations in time, as InternVideo's, the looks ("yellow disc"). What is asked in the end has few clips and needs
both:

  mixed  (colour + motion) mod 4: no single one of them tells anything
  pairs  colour and motion, 16 classes: each model's answer is half of it

Both models are frozen and get a classifier by logistic regression on the few clips. Then both are joined, and
the recipe `cross_model.train_nano` trains on the same clips what is between them. For as many steps each model is
also trained alone, with all of its weights, at the fused model's rate and at a quarter of it.

How much fusion gains hangs on how few the clips are: `--clips 320` asks `mixed` of so many, with the first seed
only, and trains the single models at twice the rate, too.
"""

import os

# Before torch starts its threads: those that wait must not count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks import measure
from tubelet.data.datasets import check_files
from tubelet.data.input_spec import InputSpec
from tubelet.data.sample import Sample
from tubelet.data.splits import Splits, find_splits
from tubelet.data.synthetic.synth import QUICKSTART, label_of, scene_of
from tubelet.data.synthetic.synth_files import video_path, write_dataset
from tubelet.data.transforms import to_model
from tubelet.inference.load import load
from tubelet.models.cross_model import CrossModel
from tubelet.models.uniformerv2 import UniFormerV2Classifier
from tubelet.models.videomae import VideoMAEClassifier
from tubelet.recipes import find_recipe
from tubelet.train.build import RunOptions
from tubelet.train.device import speed_up_cpu
from tubelet.train.evaluate import evaluate_model, test_batches
from tubelet.train.few_shot import write_lists
from tubelet.train.probe import logistic_regression
from tubelet.train.run import run
from tubelet.weights.cross_model import joined
from tubelet.weights.files import read_checkpoint, save_checkpoint

DATA = replace(
    QUICKSTART,
    motions=("move_right", "move_left", "move_down", "move_up"),
    speed=(0.5, 0.8),
    num_frames=8,
)
SHAPES = ("disc", "square", "triangle")
LOOKS = tuple(f"{colour} {shape}" for colour in DATA.colours for shape in SHAPES)
# What train and val show are the many clips and the few.
SIZES = {"train": 1280, "val": 128, "test": 400}
QUICK_SIZES = {"train": 64, "val": 64, "test": 32}
EPOCHS = {"pretrain": 10, "motions": 12, "looks": 15, "fused": 60, "alone": 60}
SEEDS = (0, 1, 2)
L2 = 1e-3  # of the classifiers, the same for all

FED = ("input.sampling=uniform", "input.num_clips=1", "input.num_crops=1", "input.short_side=none")
SIZE = ("model.encoder.dim=64", "model.encoder.num_heads=4")
VIDEOMAE = ("videomae.finetune_tiny", *FED, *SIZE, "smoothing=0", "augment.scale=[0.8, 1.0]")
UNIFORMERV2 = ("uniformerv2.train_nano", *SIZE, "model.encoder.local_relations=0", "input.num_frames=4")
RATES = (8e-3, 2e-3)
MORE_RATES = (1.6e-2, *RATES)


@dataclass(frozen=True)
class Question:
    """What is asked about a clip: the classes' names, and which one a look and a motion make."""

    classes: tuple[str, ...]
    answer: Callable[[int, int], int]


def colour_of(look: int) -> int:
    return look // len(SHAPES)


KNOWLEDGE = {
    "motions": Question(DATA.classes, lambda _look, motion: motion),
    "looks": Question(LOOKS, lambda look, _motion: look),
}
QUESTIONS = {
    "mixed": Question(("zero", "one", "two", "three"), lambda look, motion: (colour_of(look) + motion) % 4),
    "pairs": Question(
        tuple(f"{colour} {motion}" for colour in DATA.colours for motion in DATA.classes),
        lambda look, motion: 4 * colour_of(look) + motion,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where clips and models lie, the seed, and how long things train, in epochs."""

    videos: Path
    out: Path
    seed: int
    sizes: dict[str, int]
    epochs: dict[str, int]
    rates: tuple[float, ...] = RATES  # of models that are trained alone

    def lists(self, name: str, question: Question, split: str) -> Path:
        """The folder of a question about the clips of a split, and of the test."""
        train, test = (self._samples(question, part) for part in (split, "test"))
        splits = Splits(train=train, val=test, test=test, classes=question.classes, note=name)
        return write_lists(self.videos.parent / f"{name}-{split}", splits)

    def _samples(self, question: Question, split: str) -> list[Sample]:
        found: list[Sample] = []
        for index in range(self.sizes[split]):
            look = scene_of(DATA, split, index).looks[0]
            number = LOOKS.index(f"{look.colour} {look.shape}")
            path = str(self.videos / video_path(split, index))
            answer = question.answer(number, label_of(DATA, split, index))
            found.append(Sample(path=path, label=answer, id=path))
        assert not check_files(found)
        return found

    def learned(self, name: str, words: Sequence[str], data: Path, init: Path | None = None) -> Path:
        """The folder of a model that a recipe makes, with the epochs that have been set for it."""
        epochs = self.epochs[name.partition("-")[0]]
        settings = (f"optim.epochs={epochs}", f"optim.warmup_epochs={epochs // 10}", f"seed={self.seed}")
        recipe = find_recipe(words[0], (*words[1:], *settings))
        options = RunOptions(device="cpu", validate_every=0, cache_bytes=2**30, save_every=10**6)
        return run(recipe, data, self.out / name, options, init=init, console=Console(file=StringIO())).model


def top1(folder: Path, data: Path) -> float:
    """Per cent of the test clips about which a model is right."""
    loaded, splits = load(folder), find_splits(data)
    figures, _ = evaluate_model(
        loaded.model,
        loaded.input,
        splits.test,
        num_classes=len(splits.classes),
        allow_missing=False,
        num_workers=0,
    )
    return round(100 * figures["top1"], 2)


def seen_by(
    model: Callable[[Tensor], Tensor], spec: InputSpec, samples: list[Sample]
) -> tuple[Tensor, Tensor]:
    """What a model makes of clips, one row each, and their labels."""
    rows, labels = [], []
    with torch.no_grad():
        for batch in test_batches(spec, samples, 0, None, None):
            assert batch.labels is not None
            rows.append(model(to_model(batch.pixels, spec.mean, spec.std)))
            labels.append(batch.labels)
    return torch.cat(rows), torch.cat(labels)


def with_classifier(folder: Path, data: Path, out: Path) -> Path:
    """A trained model with another classifier, fitted to the clips of a list; all else stays."""
    checkpoint, loaded, splits = read_checkpoint(folder), load(folder), find_splits(data)
    model = loaded.model
    assert isinstance(model, VideoMAEClassifier | UniFormerV2Classifier)
    # UniFormerV2's classifier has a norm of its own.
    norm = model.norm if isinstance(model, UniFormerV2Classifier) else nn.Identity()
    rows, labels = seen_by(lambda clip: norm(model.features(clip)), loaded.input, splits.train)
    weight, bias = logistic_regression(rows.double(), labels, len(splits.classes), L2)
    config = replace(checkpoint.config, num_classes=len(splits.classes))
    state = {**checkpoint.state, "head.weight": weight.float(), "head.bias": bias.float()}
    save_checkpoint(out, replace(checkpoint, config=config, state=state, labels=splits.classes))
    return out


def with_learned_weight(folder: Path, data: Path, out: Path) -> Path:
    """A joined model of which the weight between both answers alone is fitted."""
    checkpoint, loaded = read_checkpoint(folder), load(folder)
    model = loaded.model
    assert isinstance(model, CrossModel)

    def both(clip: Tensor) -> Tensor:
        answers = model.both_logits(clip)
        return torch.stack([answers.masked, answers.multimodal], dim=1)

    answers, labels = seen_by(both, loaded.input, find_splits(data).train)
    logit = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([logit], line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = F.cross_entropy(torch.lerp(answers[:, 0], answers[:, 1], logit.sigmoid()), labels)
        total.backward()
        return total

    optimizer.step(loss)
    save_checkpoint(out, replace(checkpoint, state={**checkpoint.state, "fusion": logit.detach()}))
    return out


def parents(bench: Bench) -> tuple[Path, Path]:
    """The two models after what they learn from many clips, the one from motions, the other from looks."""
    motions, looks = (bench.lists(name, KNOWLEDGE[name], "train") for name in ("motions", "looks"))
    hidden = ("videomae.pretrain_tiny", *SIZE, "model.decoder_dim=32", "model.decoder_num_heads=2")
    pretrained = bench.learned("pretrain", (*hidden, "input.short_side=none"), motions)
    return (
        bench.learned("motions", (*VIDEOMAE, f"optim.lr={RATES[0]}"), motions, pretrained),
        bench.learned("looks", (*UNIFORMERV2, f"optim.lr={RATES[0]}"), looks),
    )


def asked(bench: Bench, name: str, masked: Path, multimodal: Path) -> dict[str, object]:
    """What is right of a question's test clips, by who answers; and what the fused model has learned."""
    data, out = bench.lists(name, QUESTIONS[name], "val"), bench.out
    first = with_classifier(masked, data, out / f"videomae-{name}")
    second = with_classifier(multimodal, data, out / f"uniformerv2-{name}")
    start = out / f"joined-{name}"
    save_checkpoint(start, joined(read_checkpoint(first), read_checkpoint(second), num_stages=2))
    weighed = with_learned_weight(start, data, out / f"weighed-{name}")
    begun = time.process_time()
    fused = bench.learned(f"fused-{name}", ("cross_model.train_nano", f"optim.lr={RATES[0]}"), data, start)
    spent = time.process_time() - begun
    found: dict[str, object] = {
        "VideoMAE, frozen": top1(first, data),
        "UniFormerV2, frozen": top1(second, data),
        "their mean": top1(start, data),
        "their learned mean": top1(weighed, data),
        "cross-model attention": top1(fused, data),
    }
    if name == "mixed":
        for who, words, init in (("VideoMAE", VIDEOMAE, first), ("UniFormerV2", UNIFORMERV2, second)):
            for rate in bench.rates:
                alone = bench.learned(f"alone-{who}-{rate}", (*words, f"optim.lr={rate}"), data, init)
                found[f"{who}, all trained, {rate / 4:g}"] = top1(alone, data)
    state = read_checkpoint(fused).state
    gates = [float(value.tanh()) for key, value in state.items() if key.endswith("_gate")]
    return {**found, "gates": gates, "weight": float(state["fusion"].sigmoid()), "cpu_seconds": round(spent)}


def of_seed(bench: Bench, questions: Sequence[str]) -> dict[str, Mapping[str, object]]:
    begun = time.process_time()
    masked, multimodal = parents(bench)
    known = {
        "motions": top1(masked, bench.lists("motions", KNOWLEDGE["motions"], "train")),
        "looks": top1(multimodal, bench.lists("looks", KNOWLEDGE["looks"], "train")),
    }
    found = {name: asked(bench, name, masked, multimodal) for name in questions}
    print(f"seed {bench.seed}, {time.process_time() - begun:.0f} CPU s: {known} {found}", flush=True)
    return {"known": known, **found}


def spread(values: Sequence[float]) -> str:
    """The mean over seeds and the standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.1f} ± {deviation:.1f}"


def main() -> None:
    parser = measure.parser(__doc__)
    parser.add_argument("--clips", type=int, help="with labels of `mixed`, 64 or more; writes fusion_N.json")
    arguments = parser.parse_args()
    quick, clips = arguments.quick, arguments.clips
    torch.set_num_threads(1)
    speed_up_cpu()
    measure.headline("Two frozen models and what is between them")
    sizes = {**(QUICK_SIZES if quick else SIZES)}
    if clips is not None:
        sizes["val"] = clips
    questions = tuple(QUESTIONS) if clips is None else ("mixed",)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        videos = Path(folder, "videos")
        write_dataset(DATA, videos, sizes)
        for seed in SEEDS if clips is None and not quick else SEEDS[:1]:
            bench = Bench(
                videos=videos,
                out=Path(folder, str(seed)),
                seed=seed,
                sizes=sizes,
                epochs=dict.fromkeys(EPOCHS, 1) if quick else EPOCHS,
                rates=RATES if clips is None else MORE_RATES,
            )
            found.append(of_seed(bench, questions))
    report("fusion" if clips is None else f"fusion_{clips}", found, keep=not quick)


def report(result: str, found: Sequence[Mapping[str, Mapping[str, object]]], *, keep: bool) -> None:
    ratios = {}
    for name in (name for name in QUESTIONS if name in found[0]):
        rows = {
            who: [float(of_one[name][who]) for of_one in found]  # pyright: ignore[reportArgumentType]
            for who, value in found[0][name].items()
            if isinstance(value, float) and who != "weight"
        }
        measure.table(
            [name, "mean", *map(str, SEEDS[: len(found)])], [[who, spread(v), *v] for who, v in rows.items()]
        )
        print(f"chance is {100 / len(QUESTIONS[name].classes):.1f} %\n")
        ratios[name] = {who: round(statistics.mean(values), 2) for who, values in rows.items()}
    measure.finish(result, figures={"by_seed": found}, ratios=ratios, keep=keep)


if __name__ == "__main__":
    main()
