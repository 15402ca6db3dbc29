"""A model of videos and texts judged on videos with captions, or with questions and answers."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import nn

from tubelet.data.answers import numbered_answers
from tubelet.data.input_spec import InputSpec
from tubelet.data.sample import Sample
from tubelet.errors import ConfigError
from tubelet.models.internvideo import InternVideo
from tubelet.models.internvideo_qa import InternVideoAnswerer
from tubelet.models.viclip import ViCLIP
from tubelet.tasks.answering import Answering
from tubelet.tasks.captioning import Captioning
from tubelet.tasks.contrastive import Contrastive
from tubelet.train.build_task import tokenizing
from tubelet.train.evaluate import test_batches


def evaluate_texts(
    model: nn.Module,
    spec: InputSpec,
    samples: Sequence[Sample],
    *,
    answers: Sequence[str] = (),
    allow_missing: bool,
    num_workers: int,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, float]:
    """How well captions and videos find each other, or questions are answered by one of `answers`.

    Of several captions of a video the first one counts. Each video is seen once: one clip, one crop.
    """
    shared = {"mean": spec.mean, "std": spec.std, "allow_missing": allow_missing}
    if isinstance(model, InternVideoAnswerer):
        task = Answering(model, tokenizing(model.config.text), **shared)
        samples = numbered_answers(samples, answers, keep_unknown=True).samples
    elif isinstance(model, InternVideo):
        task = Captioning(model, tokenizing(model.config.text), **shared)
    elif isinstance(model, ViCLIP):
        task = Contrastive(model, tokenizing(model.config.text), mask_ratio=0.0, **shared)
    else:
        raise ConfigError(
            f"a {type(model).__name__} is judged on classes; a ViCLIP or an InternVideo is judged on captions"
        )
    one_view = replace(spec, num_clips=1, num_crops=1)
    return task.evaluate(test_batches(one_view, samples, num_workers, None, on_progress))
