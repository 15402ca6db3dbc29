"""What a student has of its teacher."""

from typing import Any

from tubelet.quickstart.videomamba import agreement


def video(truth: str, teacher: str, student: str) -> dict[str, Any]:
    said = {"teacher": teacher, "distilled": student}
    return {arm: {"best": best, "right": best == truth} for arm, best in said.items()}


def test_a_teachers_mistakes_are_put_right_made_again_or_made_anew():
    videos = [
        video("up", "up", "up"),
        video("up", "up", "left"),
        video("up", "down", "up"),
        video("up", "down", "down"),
        video("up", "down", "left"),
    ]
    assert agreement(videos, "distilled") == {
        "same_answers": 2,
        "of": 5,
        "put_right": 1,
        "repeated": 1,
        "teacher_mistakes": 3,
    }
