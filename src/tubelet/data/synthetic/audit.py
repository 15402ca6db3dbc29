"""The shortcut audit: can a network tell the labels without the order of the frames?

Small networks are trained on a data set seen through ever wider windows: one frame, the first, the last,
all frames as a bag, all frames shuffled, and, as the control that must succeed, all frames in order. A data
set about motion is sound when one frame is at chance over all classes, when bag and shuffle are at chance
inside every reversal pair, and when the ordered frames are far above it. An accuracy never stands alone:
every one carries the 95 % interval (Wilson) of its number of test clips.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from tubelet.data.manifest import read_annotations
from tubelet.data.synthetic.audit_probes import PROBES, Labelled, Progress, train_and_test
from tubelet.data.synthetic.synth import SynthConfig, render_clip
from tubelet.data.synthetic.synth_files import read_config
from tubelet.data.video import Video
from tubelet.errors import ConfigError, DataError

ONE_FRAME = ("single frame", "first frame", "last frame")
CONTROL = "ordered frames"


# What it found


@dataclass(frozen=True, kw_only=True)
class Rate:
    """A share of right answers, 0 to 1."""

    right: int
    of: int

    @property
    def value(self) -> float:
        return self.right / self.of if self.of else float("nan")

    def interval(self, deviations: float = 1.96) -> tuple[float, float]:
        """Wilson's interval for the true rate; 1.96 standard deviations are 95 %."""
        if self.of == 0:
            return 0.0, 1.0
        p, z, n = self.value, deviations, self.of
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
        return middle - half, middle + half

    def to_dict(self) -> dict[str, float | int | list[float]]:
        return {
            **asdict(self),
            "value": round(self.value, 4),
            "interval_95": [round(x, 4) for x in self.interval()],
        }

    def __str__(self) -> str:
        low, high = self.interval()
        return f"{100 * self.value:5.1f} % [{100 * low:4.1f}, {100 * high:4.1f}]"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one probe achieved on test clips: over all classes, and between the two members of each pair."""

    probe: str
    overall: Rate
    pairs: dict[str, Rate]

    @property
    def inside_pairs(self) -> Rate:
        """All pairs together; chance is one half."""
        rates = self.pairs.values()
        return Rate(right=sum(r.right for r in rates), of=sum(r.of for r in rates))


@dataclass(frozen=True, kw_only=True)
class AuditReport:
    """The findings of all probes, and a verdict."""

    classes: tuple[str, ...]
    num_train: int
    num_test: int
    findings: tuple[Finding, ...]

    @property
    def chance(self) -> float:
        return 1 / len(self.classes)

    def problems(self, deviations: float = 3.0) -> list[str]:
        """What differs from chance by more than its noise, or should and does not. Empty: sound.

        Three standard deviations, because a report holds several rates and each may stray.
        """
        found = []
        for finding in self.findings:
            low, high = finding.overall.interval(deviations)
            if finding.probe == CONTROL:
                if low <= self.chance:
                    found.append(f"{finding.probe}: {finding.overall} over all classes is not above chance")
                continue
            # A bag of frames may tell what moves, only not which way; one frame must tell nothing at all.
            if finding.probe in ONE_FRAME and low > self.chance:
                found.append(f"{finding.probe}: {finding.overall} over all classes is above chance")
            low, high = finding.inside_pairs.interval(deviations)
            if finding.pairs and not low <= 0.5 <= high:
                found.append(f"{finding.probe}: {finding.inside_pairs} inside pairs is not one half")
        return found

    def to_dict(self) -> dict[str, object]:
        return {
            "classes": list(self.classes),
            "chance": round(self.chance, 4),
            "num_train": self.num_train,
            "num_test": self.num_test,
            "probes": {
                finding.probe: {
                    "overall": finding.overall.to_dict(),
                    "inside_pairs": finding.inside_pairs.to_dict(),
                    "pairs": {name: rate.to_dict() for name, rate in finding.pairs.items()},
                }
                for finding in self.findings
            },
            "problems": self.problems(),
        }

    def table(self) -> str:
        """A text table: accuracy in percent with its 95 % interval."""
        lines = [
            f"{self.num_train} training clips, {self.num_test} test clips, {len(self.classes)} classes; "
            f"chance {100 * self.chance:.1f} % over all, 50 % inside pairs",
            f"{'':16}  {'all classes':>21}  {'inside pairs':>21}",
        ]
        lines += [f"{f.probe:16}  {f.overall!s:>21}  {f.inside_pairs!s:>21}" for f in self.findings]
        verdict = self.problems() or ["sound: only the order of the frames tells a pair apart"]
        return "\n".join(lines + verdict)


# The audit itself


def audit(
    config: SynthConfig,
    *,
    num_train: int = 2048,
    num_test: int = 1024,
    epochs: int = 12,
    probes: Sequence[str] = tuple(PROBES),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> AuditReport:
    """Audits clips as they are rendered; `audit_folder` includes what the codec does to them.

    Train and test clips come from the splits "train" and "test" of the config, the networks from `seed`.
    """
    train = rendered(config, "train", num_train, on_progress)
    test = rendered(config, "test", num_test, on_progress)
    return audit_videos(
        train,
        test,
        config.classes,
        pair_names(config),
        epochs=epochs,
        probes=probes,
        seed=seed,
        on_progress=on_progress,
    )


def audit_folder(
    folder: Path,
    *,
    test_split: str = "test",
    epochs: int = 12,
    probes: Sequence[str] = tuple(PROBES),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> AuditReport:
    """Audits the files of a data set that `write_dataset` made, as a reader of videos sees them."""
    config = read_config(folder)
    train = decoded(folder, "train", config, on_progress)
    test = decoded(folder, test_split, config, on_progress)
    return audit_videos(
        train,
        test,
        config.classes,
        pair_names(config),
        epochs=epochs,
        probes=probes,
        seed=seed,
        on_progress=on_progress,
    )


def pair_names(config: SynthConfig) -> dict[str, tuple[int, int]]:
    return {f"{config.classes[a]} / {config.classes[b]}": (a, b) for a, b in config.reversal_pairs}


def rendered(config: SynthConfig, split: str, number: int, on_progress: Progress | None = None) -> Labelled:
    """The first `number` clips of a split and their labels."""
    found = _room(config, number)
    for index in range(number):
        clip = render_clip(config, split, index)
        found.videos[index], found.labels[index] = clip.pixels, clip.label
        if on_progress is not None:
            on_progress(f"render {split}", index + 1, number)
    return found


def decoded(folder: Path, split: str, config: SynthConfig, on_progress: Progress | None = None) -> Labelled:
    """The clips that a split's list names, decoded, and their labels."""
    samples = read_annotations(folder, split, num_classes=len(config.motions)).samples
    found = _room(config, len(samples))
    for index, sample in enumerate(samples):
        with Video(sample.path) as video:
            found.videos[index] = video.frames(range(config.num_frames)).pixels
        found.labels[index] = -1 if sample.label is None else sample.label
        if on_progress is not None:
            on_progress(f"decode {split}", index + 1, len(samples))
    return found


def _room(config: SynthConfig, number: int) -> Labelled:
    videos = torch.empty(number, config.num_frames, 3, config.size, config.size, dtype=torch.uint8)
    return Labelled(videos=videos, labels=torch.empty(number, dtype=torch.int64))


def audit_videos(
    train: Labelled,
    test: Labelled,
    classes: Sequence[str],
    pairs: Mapping[str, tuple[int, int]],
    *,
    epochs: int = 12,
    probes: Sequence[str] = tuple(PROBES),
    seed: int = 0,
    on_progress: Progress | None = None,
) -> AuditReport:
    """Audits clips of any origin; `pairs` names labels that only the order of frames may tell apart."""
    unknown = [name for name in probes if name not in PROBES]
    if unknown:
        raise ConfigError(f"probe {unknown[0]!r} does not exist; there are {', '.join(PROBES)}")
    if not len(train) or not len(test):
        raise DataError(
            f"{len(train)} training and {len(test)} test clips were given; an audit needs some of both"
        )
    findings = []
    for name in probes:
        logits = train_and_test(
            PROBES[name], train, test.videos, len(classes), epochs, seed, name, on_progress
        )
        findings.append(judged(name, logits, test.labels, pairs))
    return AuditReport(
        classes=tuple(classes), num_train=len(train), num_test=len(test), findings=tuple(findings)
    )


def judged(
    name: str,
    logits: Float[Tensor, "videos classes"],
    labels: Int64[Tensor, "videos"],
    pairs: Mapping[str, tuple[int, int]],
) -> Finding:
    """Right answers over all classes, and, between the two members of a pair, on the clips of that pair."""
    inside = {}
    for pair, (a, b) in pairs.items():
        member = (labels == a) | (labels == b)
        said_b = logits[member, b] > logits[member, a]
        inside[pair] = Rate(right=int((said_b == (labels[member] == b)).sum()), of=int(member.sum()))
    right = int((logits.argmax(1) == labels).sum())
    return Finding(probe=name, overall=Rate(right=right, of=len(labels)), pairs=inside)
