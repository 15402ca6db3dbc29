from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F

from tests.tasks.videomambas import STUDENT, TEACHER, batch, teacher, trained_on
from tubelet.data.erase import RandomErasing
from tubelet.data.mix import MixConfig
from tubelet.data.transforms import IMAGENET_MEAN, IMAGENET_STD
from tubelet.errors import ConfigError
from tubelet.losses import alignment_loss
from tubelet.models.videomae import ClassifierConfig as OtherConfig
from tubelet.models.videomae import EncoderConfig as OtherEncoder
from tubelet.models.videomae import VideoMAEClassifier
from tubelet.models.videomamba import ClassifierConfig, VideoMambaClassifier
from tubelet.tasks.classification import Classification
from tubelet.tasks.distillation import SelfDistillation
from tubelet.tasks.task import Task


def classification(config: ClassifierConfig = STUDENT, **settings) -> Classification:
    torch.manual_seed(0)
    model = VideoMambaClassifier(config)
    return Classification(model, num_classes=3, mean=IMAGENET_MEAN, std=IMAGENET_STD, **settings)


def test_the_loss_is_the_classifications_and_the_distance_of_all_tokens():
    plain = classification(smoothing=0.1)
    ours = SelfDistillation(plain, teacher(), weight=0.5)
    loss = ours.loss(batch())
    clips, _ = plain.learned(batch())
    _, student = ours.student.distilled(clips)
    assert student.shape == (2, 1 + 4 * 16, 8)
    distance = alignment_loss(student, F.normalize(ours.teacher.encoder(clips), dim=-1))
    torch.testing.assert_close(loss.total, plain.loss(batch()).total + 0.5 * distance)
    torch.testing.assert_close(loss.parts["distillation"], distance)
    assert set(loss.parts) == {"accuracy", "classification", "distillation"}
    assert isinstance(ours, Task)


def test_both_see_the_same_mixed_and_erased_clips(monkeypatch: pytest.MonkeyPatch):
    mixed = {"mix": MixConfig(), "erasing": RandomErasing(probability=1.0)}
    ours = SelfDistillation(classification(**mixed), teacher())
    seen = []
    for encoder in (ours.student.encoder, ours.teacher.encoder):
        encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].clone()))
    ours.loss(batch())
    assert len(seen) == 2
    assert torch.equal(*seen)
    plain, _ = classification().learned(batch())
    assert not torch.equal(seen[0], plain)


def test_the_teacher_gets_no_gradient_and_is_in_eval_mode():
    ours = SelfDistillation(classification(), teacher())
    ours.model.train()
    ours.loss(batch()).total.backward()
    assert all(p.grad is None and not p.requires_grad for p in ours.teacher.parameters())
    assert not ours.teacher.training
    assert all(p.grad is not None for p in ours.model.parameters())


def test_the_loss_and_both_of_its_parts_go_down():
    ours = SelfDistillation(classification(), teacher())
    parts = ours.loss(batch(samples=(0, 1, 2, 3))).parts
    before, after = trained_on(ours)
    assert after < 0.5 * before
    later = ours.loss(batch(samples=(0, 1, 2, 3))).parts
    assert all(later[name] < parts[name] for name in ("classification", "distillation"))


def test_a_student_without_weight_learns_as_if_there_were_no_teacher():
    ours = SelfDistillation(classification(), teacher(), weight=0.0)
    torch.testing.assert_close(ours.loss(batch()).total, classification().loss(batch()).total)


def test_evaluation_is_the_classifications():
    plain = classification()
    ours = SelfDistillation(plain, teacher())
    batches = [batch(), batch(samples=(2, 3))]
    assert ours.evaluate(batches) == plain.evaluate(batches)


def test_students_that_cannot_be_compared_are_refused():
    coarse = replace(TEACHER, encoder=replace(TEACHER.encoder, tubelet=(1, 8, 8)))
    with pytest.raises(ConfigError, match=r"tubelets \(1, 8, 8\), the student into \(1, 4, 4\)"):
        SelfDistillation(classification(), teacher(coarse))
    with pytest.raises(
        ConfigError, match=r"have 8 channels, the student predicts None; set model.teacher_dim=8"
    ):
        SelfDistillation(classification(replace(STUDENT, teacher_dim=None)), teacher())
    still = replace(TEACHER, encoder=replace(TEACHER.encoder, num_frames=1, time_position=False))
    with pytest.raises(ConfigError, match="knows no time and takes 1 frames; the student gets 4"):
        SelfDistillation(classification(), teacher(still))
    encoder = OtherEncoder(dim=8, depth=1, num_heads=1, num_frames=4, image_size=16, tubelet=(1, 8, 8))
    other = VideoMAEClassifier(OtherConfig(encoder=encoder, num_classes=3))
    stranger = Classification(other, num_classes=3, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    with pytest.raises(ConfigError, match="only a VideoMamba learns from another, not a VideoMAEClassifier"):
        SelfDistillation(stranger, teacher())
