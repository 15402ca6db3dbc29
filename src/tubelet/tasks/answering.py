"""Questions about videos as classification: an answer is one of a list (InternVideo, Wang et al. 2022)."""

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tubelet.data.answers import UNKNOWN
from tubelet.data.batch import ClipBatch, Failure
from tubelet.data.transforms import to_model
from tubelet.errors import DataError
from tubelet.losses import smoothed_targets
from tubelet.metrics.views import View, merge_views
from tubelet.models.internvideo_qa import InternVideoAnswerer
from tubelet.tasks.classification import cross_entropy
from tubelet.tasks.matching import Tokenize, texts_of
from tubelet.tasks.predicted import check_missing, check_some
from tubelet.tasks.task import Loss


class Answering:
    """Cross entropy against the number of the right answer; a batch brings its questions as texts."""

    def __init__(
        self,
        model: InternVideoAnswerer,
        tokenize: Tokenize,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        smoothing: float = 0.0,
        seed: int = 0,
        allow_missing: bool = False,
    ):
        self.model = model
        self.tokenize = tokenize
        self.mean, self.std = mean, std
        self.smoothing = smoothing
        self.seed = seed
        self.allow_missing = allow_missing

    def loss(self, batch: ClipBatch) -> Loss:
        if batch.labels is None:
            raise DataError(f"{batch.names[0]} has no answer, and training needs one to every question")
        target = smoothed_targets(batch.labels, self.model.config.num_answers, self.smoothing)
        return cross_entropy(self._scores(batch), target)

    def _scores(self, batch: ClipBatch) -> Float[Tensor, "batch answers"]:
        clips = to_model(batch.pixels, self.mean, self.std)
        return self.model(clips, self.tokenize(texts_of(batch, "question")).to(clips.device)).float()

    @torch.inference_mode()
    def evaluate(self, loader: Iterable[ClipBatch]) -> dict[str, float]:
        """The share of questions that are answered as the data says; the model is put into eval mode.

        An answer beyond the model's list counts as wrong, and `num_unknown` says how many there are.
        """
        self.model.eval()
        device = next(self.model.parameters()).device
        right = unknown = num_questions = 0
        failures: list[Failure] = []
        for batch in loader:
            failures.extend(batch.failures)
            if not len(batch):
                continue
            if batch.labels is None:
                raise DataError(f"{batch.names[0]} has no answer to judge by")
            scores = self._scores(batch.to(device)).cpu()
            wanted = dict(zip((view.sample for view in batch.ids), batch.labels.tolist(), strict=True))
            views = [View(v.sample, v.view, 0, row) for v, row in zip(batch.ids, scores, strict=True)]
            for sample, answers in merge_views(views).items():
                right += int(answers.argmax()) == wanted[sample]
                unknown += wanted[sample] == UNKNOWN
                num_questions += 1
        check_some(num_questions, failures)
        check_missing(num_questions, failures, allowed=self.allow_missing)
        return {
            "accuracy": right / num_questions,
            "num_questions": num_questions,
            "num_unknown": unknown,
            "num_missing": len(failures),
        }
