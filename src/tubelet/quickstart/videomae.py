"""VideoMAE's quickstart: does it help a classifier to have filled in hidden pixels before?"""

from collections.abc import Mapping
from typing import Any

from tubelet.quickstart.charts import Chart, Line, chart, epoch_means, points
from tubelet.quickstart.script import Arm, Script, Trained, Training
from tubelet.train.build import model_config


def pretraining_facts(trained: Mapping[str, Trained], results: dict[str, Any]) -> dict[str, Any]:
    """How well hidden pixels of held-out videos are predicted, and in which terms."""
    pretrained = trained["pretrained"]
    return {
        "pretraining": {
            **pretrained.result.metrics,
            "standardized_targets": model_config(pretrained.recipe).normalize_target,
            "mask_ratio": pretrained.recipe.mask_ratio,
        }
    }


def pretraining_chart(results: dict[str, Any]) -> Chart:
    """The masked loss; where targets are standardized, predicting the mean of every patch costs about 1."""
    curves, standardized = results["curves"]["pretrained"], results["pretraining"]["standardized_targets"]
    # The first epochs of raw pixels are about their brightness and would flatten all that follows.
    shown = 0 if standardized else 2
    training = epoch_means(points(curves.get("loss")))[shown:]
    validation = points(curves.get("val_loss"))[shown:]
    return chart(
        "Pre-training: error on hidden pixels",
        [
            Line(label="training", style="pre", points=training),
            Line(label="validation", style="pre dashed", points=validation, marks=True),
        ],
        axes="mean squared error, by epoch" + ("" if standardized else ", without the first two"),
        level=(1.0, "always guessing the patch mean") if standardized else None,
    )


SCRIPT = Script(
    family="VideoMAE",
    preparation=Training(
        key="pretrained",
        recipe="videomae.pretrain_tiny",
        title="pre-training without labels",
        spent="pre-training",
    ),
    hero=Training(
        key="finetuned",
        recipe="videomae.finetune_tiny",
        title="fine-tuning the pre-trained model",
        spent="fine-tuning and test",
        init="pretrained",
    ),
    rival=Training(
        key="scratch",
        recipe="videomae.finetune_tiny",
        title="training the same model from scratch, by the same recipe",
        spent="training from scratch and test",
    ),
    arms=(
        Arm(
            key="finetuned",
            name="Pre-trained, then fine-tuned",
            short="pre-trained",
            phrase="the pre-trained model",
            style="pre",
        ),
        Arm(
            key="scratch",
            name="From scratch",
            short="scratch",
            phrase="the model from scratch",
            style="raw",
        ),
    ),
    facts=pretraining_facts,
    chart=pretraining_chart,
    template="videomae.html.j2",
    command="tubelet quickstart",
    own_videos=(
        (
            "Train on your own videos (one folder of videos per class)",
            ("tubelet train --data my_videos/ --out runs/mine", "tubelet predict runs/mine/model clip.mp4"),
        ),
        (
            "Pre-train on them first",
            (
                "tubelet pretrain --data my_videos/ --out runs/pretrained",
                "tubelet train --data my_videos/ --init runs/pretrained/model --out runs/mine",
            ),
        ),
    ),
    reconstructs="pretrained",
)
