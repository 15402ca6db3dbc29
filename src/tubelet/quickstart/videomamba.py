"""VideoMamba's quickstart: does it help a classifier to learn from a smaller one beside the labels?"""

from collections.abc import Mapping, Sequence
from typing import Any

from tubelet.quickstart.charts import Chart, Line, chart, epoch_means, points
from tubelet.quickstart.compare import compared_figures
from tubelet.quickstart.script import Arm, Script, Trained, Training
from tubelet.weights.files import read_checkpoint

TEACHER = Arm(key="teacher", name="The teacher itself", short="teacher", phrase="the teacher", style="aid")
TAUGHT = Arm(
    key="distilled",
    name="Student with a teacher",
    short="with teacher",
    phrase="the student with a teacher",
    style="pre",
)
ALONE = Arm(key="alone", name="Student alone", short="alone", phrase="the student alone", style="raw")


def teaching_facts(trained: Mapping[str, Trained], results: dict[str, Any]) -> dict[str, Any]:
    """How large the models are, and what the student has of its teacher's answers."""
    videos = results["videos"]
    return {
        "teaching": {
            "parameters": {key: num_parameters(one) for key, one in trained.items()},
            "agreement": {arm.key: agreement(videos, arm.key) for arm in (TAUGHT, ALONE)},
            "comparison": compared_figures(videos, TAUGHT, TEACHER),
        }
    }


def num_parameters(trained: Trained) -> int:
    """The numbers in a classifier; the map to its teacher is not needed to use it."""
    state = read_checkpoint(trained.result.model).state
    return sum(tensor.numel() for name, tensor in state.items() if not name.startswith("to_teacher."))


def agreement(videos: Sequence[Mapping[str, Any]], student: str) -> dict[str, int]:
    """How often a student answers as the teacher does, and what it makes of the teacher's mistakes."""
    missed = [video for video in videos if not video[TEACHER.key]["right"]]
    return {
        "same_answers": same_answers(videos, student),
        "of": len(videos),
        "put_right": sum(video[student]["right"] for video in missed),
        "repeated": same_answers(missed, student),
        "teacher_mistakes": len(missed),
    }


def same_answers(videos: Sequence[Mapping[str, Any]], student: str) -> int:
    return sum(video[student]["best"] == video[TEACHER.key]["best"] for video in videos)


def distance_chart(results: dict[str, Any]) -> Chart:
    """How far the student's tokens are from its teacher's: 2 - 2 cos, between unit vectors."""
    curve = points(results["curves"][TAUGHT.key].get("distillation"))
    return chart(
        "Distance to the teacher's tokens",
        [Line(label="with teacher", style=TAUGHT.style, points=epoch_means(curve))],
        axes="2 − 2 cos, mean of each epoch",
    )


SCRIPT = Script(
    family="VideoMamba",
    preparation=Training(
        key=TEACHER.key,
        recipe="videomamba.teacher_nano",
        title="training a smaller model, to be the teacher",
        spent="teacher and test",
    ),
    hero=Training(
        key=TAUGHT.key,
        recipe="videomamba.distill_nano",
        title="training the student, with labels and the teacher",
        spent="student with teacher and test",
        teacher=TEACHER.key,
    ),
    rival=Training(
        key=ALONE.key,
        recipe="videomamba.train_nano",
        title="training the same student without a teacher, by the same recipe",
        spent="student alone and test",
    ),
    arms=(TAUGHT, ALONE, TEACHER),
    facts=teaching_facts,
    chart=distance_chart,
    template="videomamba.html.j2",
    command="tubelet quickstart --model videomamba",
    own_videos=(
        (
            "Train on your own videos (one folder of videos per class)",
            (
                "tubelet train videomamba.train --data my_videos/ --out runs/mine",
                "tubelet predict runs/mine/model clip.mp4",
            ),
        ),
        (
            "Let a larger one learn from it",
            (
                "tubelet train videomamba.train size=small task=distillation distillation.weight=1 "
                "--data my_videos/ --teacher runs/mine/model --out runs/larger",
            ),
        ),
    ),
)
