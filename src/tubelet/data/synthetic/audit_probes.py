"""Small networks that look at a clip through a window, for `tubelet.data.synthetic.audit`."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, UInt8
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from tubelet.data.randomness import counter_generator

Videos = UInt8[Tensor, "videos frames 3 rows columns"]
Seen = UInt8[Tensor, "videos seen 3 rows columns"]
Window = Callable[[Videos, Generator], Seen]
Progress = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """Videos and their labels."""

    videos: Videos
    labels: Int64[Tensor, "videos"]

    def __len__(self) -> int:
        return len(self.labels)


def any_frame(videos: Videos, generator: Generator) -> Seen:
    chosen = torch.randint(videos.shape[1], (len(videos),), generator=generator)
    return videos[torch.arange(len(videos)), chosen][:, None]


def first_frame(videos: Videos, generator: Generator) -> Seen:
    return videos[:, :1]


def last_frame(videos: Videos, generator: Generator) -> Seen:
    return videos[:, -1:]


def all_frames(videos: Videos, generator: Generator) -> Seen:
    return videos


def shuffled_frames(videos: Videos, generator: Generator) -> Seen:
    order = torch.rand(videos.shape[:2], generator=generator).argsort(1)
    return videos[torch.arange(len(videos))[:, None], order]


class BagNetwork(nn.Module):
    """Sees a set: every frame beside the mean and the spread of all frames.

    The features of the frames are averaged and maximised. With one frame it is a plain picture classifier.
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
    generator = counter_generator(seed, "audit", name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator.initial_seed())
        network = (
            SequenceNetwork(num_classes, train.videos.shape[1])
            if probe.ordered_network
            else BagNetwork(num_classes)
        )
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=0.02)
    steps = max(len(train) // batch_size, 1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=epochs * steps, pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = torch.randperm(len(train), generator=generator)
        for step in range(steps):
            chosen = order[step * batch_size : (step + 1) * batch_size]
            logits = network(normalized(probe.window(train.videos[chosen], generator)))
            loss = F.cross_entropy(logits, train.labels[chosen])
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
