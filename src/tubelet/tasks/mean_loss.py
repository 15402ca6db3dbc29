"""The figure of tasks without labels: their own loss, over a whole data set."""

from collections.abc import Iterable

import torch

from tubelet.data.batch import ClipBatch, Failure
from tubelet.errors import DataError
from tubelet.tasks.predicted import check_some
from tubelet.tasks.task import Task


@torch.inference_mode()
def mean_loss(task: Task, loader: Iterable[ClipBatch], *, allow_missing: bool) -> dict[str, float]:
    """The mean loss per view, and how many views it is over. The model is put into eval mode.

    Videos that could not be read are an error unless `allow_missing`.
    """
    task.model.eval()
    device = next(task.model.parameters()).device
    total, num_views = 0.0, 0
    failures: list[Failure] = []
    for batch in loader:
        failures.extend(batch.failures)
        if len(batch):
            total += float(task.loss(batch.to(device)).total) * len(batch)
            num_views += len(batch)
    if failures and not (allow_missing and num_views):
        raise DataError(
            f"{len(failures)} of {len(failures) + num_views} videos could not be read, so there is no "
            f"figure: {failures[0].reason} (allow missing videos to report one all the same)"
        )
    check_some(num_views, failures)
    return {"loss": total / num_views, "num_views": num_views, "num_missing": len(failures)}
