"""The page: what it says, and that nothing from outside gets into its markup."""

import json
import re
from typing import Any

import pytest
import torch

from tests.quickstart.page_tags import Tags, addresses
from tubelet.data.png import data_uri
from tubelet.quickstart.pictures import Film, MaskedStrips, Pictures
from tubelet.quickstart.plan import SCRIPTS, QuickstartPlan
from tubelet.quickstart.report import loss_chart, render_report

PIXEL = data_uri(torch.zeros(3, 1, 1, dtype=torch.uint8))
EVIL = '<script>alert("x")</script>'
CLASSES = [f"left {EVIL}", "right & back"]
FILE = 'a"><img src=http://evil.example/x>.mp4'


def rate(right: int, of: int) -> dict[str, Any]:
    return {"right": right, "of": of, "value": right / of, "interval_95": [0.2, 0.8]}


AGREEMENT = {"same_answers": 1, "of": 2, "put_right": 0, "repeated": 1, "teacher_mistakes": 1}
OWN_FACTS = {
    "videomae": {"pretraining": {"loss": 0.9, "standardized_targets": True, "mask_ratio": 0.75}},
    "videomamba": {
        "teaching": {
            "parameters": {"teacher": 1000, "distilled": 2500, "alone": 2500},
            "agreement": {"distilled": AGREEMENT, "alone": AGREEMENT},
            "comparison": {"sentence": f"Level with its teacher {EVIL}."},
        }
    },
}


@pytest.fixture(params=SCRIPTS)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def results(family: str) -> dict[str, Any]:
    """What `collect` returns, in small."""
    script = SCRIPTS[family]
    model = {
        "top1": rate(1, 2),
        "per_class": {name: rate(1, 1) for name in CLASSES},
        "confusion": [[1, 0], [1, 0]],
        "reversals": [
            {"first": CLASSES[0], "second": CLASSES[1], "first_as_second": 0, "second_as_first": 1}
        ],
        "errors": 1,
        "errors_inside_pairs": 1,
    }
    answers = {"best": CLASSES[0], "scores": [0.75, 0.25]}
    curve = {"loss": [[0.5, 2.0], [1.0, 1.0]], "val_loss": [[1.0, 1.1]], "val_top1": [[1.0, 0.5]]}
    files = [(FILE, CLASSES[0], True), ("b.mp4", CLASSES[1], False)]
    return {
        "model": family,
        "seed": 7,
        "classes": CLASSES,
        "chance": 0.5,
        "reversal_pairs": [[0, 1]],
        "videos_per_split": {"train": 4, "val": 2, "test": 2},
        "views_per_video": {"clips": 2, "crops": 3},
        "models": {arm.key: model for arm in script.arms},
        "comparison": {"sentence": f"They came out level {EVIL}.", "both_right": 1, "neither_right": 1},
        **OWN_FACTS[family],
        "prediction": {"file": FILE, "label": CLASSES[0], "labels": CLASSES, "scores": [0.75, 0.25]},
        "videos": [
            {
                "file": file,
                "label": label,
                **{arm.key: {**answers, "right": right} for arm in script.arms},
            }
            for file, label, right in files
        ],
        "curves": {training.key: curve for training in script.trainings},
        "settings": {"plan": {"name": EVIL}},
        "environment": {"tubelet": "0", "cpu": EVIL, "threads": 2, "device": "cpu"},
        "seconds": {"rendering": 3.0, **{training.key: 61.0 for training in script.trainings}},
    }


def page(family: str, name: str = "tubelet-quickstart") -> str:
    film = Film(strip=PIXEL, sheet=PIXEL, num_frames=4)
    masked = MaskedStrips(file=FILE, label=CLASSES[0], original=PIXEL, seen=PIXEL, reconstructed=PIXEL)
    pictures = Pictures(
        masked=(masked,), first_of_class=(FILE,), mistakes=("b.mp4",), films={FILE: film, "b.mp4": film}
    )
    return render_report(results(family), pictures, name=name)


def test_the_page_needs_nothing_beside_itself(family: str):
    text = page(family)
    assert {a if not a.startswith("data:") else "data:" for a in addresses(text)} == {"data:", "results.json"}
    assert "url(" not in text
    assert "@import" not in text


def test_text_from_outside_stays_text(family: str):
    text = page(family, name=f"out {EVIL}")
    assert "<script" not in text
    assert all(tag != "script" for tag, _ in Tags(text).found)
    assert all(not key.startswith("on") for _, attrs in Tags(text).found for key in attrs)
    assert text.count("&lt;script&gt;") > 5


def test_the_markup_is_balanced_and_every_picture_has_words(family: str):
    tags = Tags(page(family))
    assert tags.open == []
    assert all(attrs.get("alt") for tag, attrs in tags.found if tag == "img")
    ids = [attrs["id"] for _, attrs in tags.found if "id" in attrs]
    assert len(set(ids)) == len(ids)
    for _, attrs in tags.found:
        assert set((attrs.get("aria-labelledby") or "").split()) <= set(ids)


@pytest.mark.parametrize(
    ("family", "command"),
    [("videomae", "tubelet quickstart"), ("videomamba", "tubelet quickstart --model videomamba")],
)
def test_commands_survive_a_folder_name_with_spaces(family: str, command: str):
    assert f"{command} --out &#39;my first run&#39; --seed 7" in page(family, name="my first run")


def test_the_teachers_time_is_counted_for_the_student_it_taught():
    assert "together 2 min 2 s against 1 min 1 s for the student alone" in page("videomamba")


def test_losses_of_labels_are_compared_without_the_distance_to_a_teacher():
    curves = results("videomamba")["curves"]
    curves["distilled"] = {"loss": [[1.0, 9.0]], "classification": [[1.0, 2.0]]}
    drawn = loss_chart(SCRIPTS["videomamba"].arms, curves)
    assert [line.points for line in drawn.lines] == [((1.0, 2.0),), ((1.0, 1.5),), ((1.0, 1.5),)]


def test_right_and_wrong_differ_by_more_than_colour(family: str):
    text = page(family)
    assert "✓ right" in text
    assert "✗ wrong" in text


def test_no_number_is_shown_as_nan(family: str):
    visible = re.sub(r"<style>.*?</style>|data:[^\"]*", "", page(family), flags=re.DOTALL)
    assert not re.search(r"\b(nan|None|undefined|inf)\b", visible)


def test_the_default_plan_can_be_written_as_json():
    json.dumps(QuickstartPlan().sizes, allow_nan=False)
