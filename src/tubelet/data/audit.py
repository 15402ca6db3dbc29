"""The shortcut audit: can a network tell the labels without the order of the frames?

Small networks are trained on a data set seen through ever wider windows: one frame, the first, the last, all frames
as a bag, all frames shuffled, and, as the control that must succeed, all frames in order. A data set about motion
is sound when one frame is at chance over all classes, when bag and shuffle are at chance inside every reversal
pair, and when the ordered frames are far above it. An accuracy never stands alone: every one carries the 95 %
interval (Wilson) of its number of test clips.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import sqrt

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tubelet.data.randomness import counter_generator
from tubelet.data.synth import SynthConfig, render_clip
from tubelet.errors import ConfigError

Videos = UInt8[Tensor, "videos frames 3 rows columns"]
Window = Callable[[Videos, Generator], UInt8[Tensor, "videos seen 3 rows columns"]]


# What a probe gets to see


def any_frame(videos: Videos, generator: Generator) -> Tensor:
    chosen = torch.randint(videos.shape[1], (len(videos),), generator=generator)
    return videos[torch.arange(len(videos)), chosen][:, None]


def first_frame(videos: Videos, generator: Generator) -> Tensor:
    return videos[:, :1]


def last_frame(videos: Videos, generator: Generator) -> Tensor:
    return videos[:, -1:]


def all_frames(videos: Videos, generator: Generator) -> Tensor:
    return videos


def shuffled_frames(videos: Videos, generator: Generator) -> Tensor:
    order = torch.rand(videos.shape[:2], generator=generator).argsort(1)
    return videos[torch.arange(len(videos))[:, None], order]


class BagNetwork(nn.Module):
    """Sees a set: every frame beside the mean and the spread of all; the frames' features are averaged and maximised.

    With one frame it is a plain picture classifier.
    """

    def __init__(self, num_classes: int, width: int = 24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(9, width, 5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.Conv2d(2 * width, 3 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(3 * width),
            nn.ReLU(),
        )
        self.head = nn.Sequential(nn.Linear(12 * width, 64), nn.ReLU(), nn.Linear(64, num_classes))

    def forward(self, clip: Float[Tensor, "batch frames 3 rows columns"]) -> Float[Tensor, "batch classes"]:
        mean = clip.mean(1, keepdim=True)
        spread = (clip - mean).square().mean(1, keepdim=True).sqrt()
        beside = torch.cat([clip, mean.expand_as(clip), spread.expand_as(clip)], dim=2)
        maps = self.features(beside.flatten(0, 1))
        frames = torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1).unflatten(0, clip.shape[:2])
        return self.head(torch.cat([frames.mean(1), frames.amax(1)], dim=1))


class SequenceNetwork(nn.Module):
    """Three 3-D convolutions; time is kept to the last layer, so that it can tell early from late."""

    def __init__(self, num_classes: int, num_frames: int, width: int = 24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(3, width, (3, 5, 5), stride=(1, 2, 2), padding=(1, 2, 2), bias=False),
            nn.BatchNorm3d(width),
            nn.ReLU(),
            nn.Conv3d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm3d(2 * width),
            nn.ReLU(),
            nn.Conv3d(2 * width, 3 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm3d(3 * width),
            nn.ReLU(),
        )
        times = -(-num_frames // 4)
        self.head = nn.Sequential(nn.Linear(6 * width * times, 64), nn.ReLU(), nn.Linear(64, num_classes))

    def forward(self, clip: Float[Tensor, "batch frames 3 rows columns"]) -> Float[Tensor, "batch classes"]:
        maps = self.features(clip.transpose(1, 2))
        return self.head(torch.cat([maps.mean((3, 4)), maps.amax((3, 4))], dim=1).flatten(1))


@dataclass(frozen=True, kw_only=True)
class Probe:
    """A window on a clip and the kind of network behind it."""

    window: Window
    ordered_network: bool  # else the bag network


PROBES: dict[str, Probe] = {
    "single frame": Probe(window=any_frame, ordered_network=False),
    "first frame": Probe(window=first_frame, ordered_network=False),
    "last frame": Probe(window=last_frame, ordered_network=False),
    "bag of frames": Probe(window=all_frames, ordered_network=False),
    "shuffled frames": Probe(window=shuffled_frames, ordered_network=True),
    "ordered frames": Probe(window=all_frames, ordered_network=True),
}
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
        return {**asdict(self), "value": round(self.value, 4), "interval_95": [round(x, 4) for x in self.interval()]}

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
        """Every rate that differs from chance, or a control that does not, by more than its noise. Empty: sound.

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

Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


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
    """Audits clips rendered from a config: no files, so what the codec adds is not in it (see `audit_videos`)."""
    unused: Progress = lambda what, done, total: None  # noqa: E731
    tell = on_progress or unused
    train = rendered(config, "train", num_train, tell)
    test = rendered(config, "test", num_test, tell)
    pairs = {
        f"{config.classes[a]} / {config.classes[b]}": (a, b) for a, b in config.reversal_pairs
    }
    return audit_videos(train, test, config.classes, pairs, epochs=epochs, probes=probes, seed=seed, on_progress=tell)


Labelled = tuple[Videos, Int64[Tensor, "videos"]]


def rendered(config: SynthConfig, split: str, number: int, tell: Progress) -> Labelled:
    """The first `number` clips of a split and their labels."""
    videos = torch.empty(number, config.num_frames, 3, config.size, config.size, dtype=torch.uint8)
    labels = torch.empty(number, dtype=torch.int64)
    for index in range(number):
        clip = render_clip(config, split, index)
        videos[index], labels[index] = clip.pixels, clip.label
        tell(f"render {split}", index + 1, number)
    return videos, labels


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
    """Audits clips of any origin. `pairs` names labels that must not differ but in the order of their frames."""
    unknown = [name for name in probes if name not in PROBES]
    if unknown:
        raise ConfigError(f"probe {unknown[0]!r} does not exist; there are {', '.join(PROBES)}")
    findings = []
    for name in probes:
        logits = train_and_test(PROBES[name], train, test[0], len(classes), epochs, seed, name, on_progress)
        findings.append(judged(name, logits, test[1], pairs))
    return AuditReport(
        classes=tuple(classes), num_train=len(train[0]), num_test=len(test[0]), findings=tuple(findings)
    )


def train_and_test(
    probe: Probe,
    train: Labelled,
    test: Videos,
    num_classes: int,
    epochs: int,
    seed: int,
    name: str,
    on_progress: Progress | None,
    batch_size: int = 32,
) -> Float[Tensor, "videos classes"]:
    """Trains the probe's network on its window and returns its logits on the test clips."""
    videos, labels = train
    generator = counter_generator(seed, "audit", name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        network = SequenceNetwork(num_classes, videos.shape[1]) if probe.ordered_network else BagNetwork(num_classes)
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    steps = max(len(videos) // batch_size, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps, pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(videos), generator=generator)
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            logits = network(normalized(probe.window(videos[chosen], generator)))
            loss = F.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            if on_progress is not None:
                on_progress(f"train {name}", epoch * steps + step + 1, epochs * steps)
    network.eval()
    with torch.no_grad():
        return torch.cat([network(normalized(probe.window(part, generator))) for part in test.split(64)])


def normalized(videos: UInt8[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    return videos.float() / 64 - 2


def judged(
    name: str, logits: Float[Tensor, "videos classes"], labels: Int64[Tensor, "videos"], pairs: Mapping[str, tuple[int, int]]
) -> Finding:
    """Right answers over all classes, and, between the two members of a pair, on the clips of that pair."""
    inside = {}
    for pair, (a, b) in pairs.items():
        member = (labels == a) | (labels == b)
        said_b = logits[member, b] > logits[member, a]
        inside[pair] = Rate(right=int((said_b == (labels[member] == b)).sum()), of=int(member.sum()))
    right = int((logits.argmax(1) == labels).sum())
    return Finding(probe=name, overall=Rate(right=right, of=len(labels)), pairs=inside)
