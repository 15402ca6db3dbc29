"""The smallest models and clips that alignment and distillation can run on."""

import torch

from tubelet.data.batch import ClipBatch, ViewId
from tubelet.models.clip import ImageTower, ImageTowerConfig
from tubelet.models.videomamba import ClassifierConfig, EncoderConfig, VideoMambaClassifier
from tubelet.models.videomamba_pretrain import PretrainerConfig

ENCODER = EncoderConfig(dim=16, depth=2, num_frames=4, image_size=16, tubelet=(1, 4, 4))
PRETRAINER = PretrainerConfig(encoder=ENCODER, target_dim=12)
STUDENT = ClassifierConfig(encoder=ENCODER, num_classes=3, teacher_dim=8)
TOWER = ImageTowerConfig(dim=16, depth=2, num_heads=2, embed_dim=12, image_size=16, tubelet=(1, 4, 4))
TEACHER = ClassifierConfig(
    encoder=EncoderConfig(dim=8, depth=1, num_frames=4, image_size=16, tubelet=(1, 4, 4)), num_classes=5
)


def tower(config: ImageTowerConfig = TOWER) -> ImageTower:
    torch.manual_seed(7)
    return ImageTower(config)


def teacher(config: ClassifierConfig = TEACHER) -> VideoMambaClassifier:
    torch.manual_seed(8)
    return VideoMambaClassifier(config)


def batch(epoch: int = 0, samples: tuple[int, ...] = (0, 1)) -> ClipBatch:
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (8, 3, 4, 16, 16), generator=generator, dtype=torch.uint8)
    return ClipBatch(
        pixels=pixels[list(samples)],
        labels=torch.tensor([i % 3 for i in samples], dtype=torch.int64),
        ids=tuple(ViewId(epoch=epoch, sample=i, view=0) for i in samples),
        names=tuple(f"{i}.mp4" for i in samples),
    )


def trained_on(task, steps: int = 40, lr: float = 5e-3) -> tuple[float, float]:
    """The loss of four clips before and after so many steps on them."""
    clips = batch(samples=(0, 1, 2, 3))
    optimizer = torch.optim.AdamW(task.model.parameters(), lr=lr)
    losses = []
    for _ in range(steps + 1):
        loss = task.loss(clips).total
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses[0], losses[-1]
