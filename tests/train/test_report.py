"""What a run says of its data and of its start."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError
from tubelet.train.report import report_other_statistics

HALVES = {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}


def said(spec: InputSpec, fed: Any) -> str:
    console = Console(file=StringIO(), width=400)
    report_other_statistics(spec, fed, Path("start"), console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_a_start_that_was_fed_other_statistics_is_told_with_the_way_out():
    assert said(InputSpec(), HALVES) == (
        "note: fed otherwise than start was: mean is (0.485, 0.456, 0.406) and not (0.5, 0.5, 0.5); "
        "std is (0.229, 0.224, 0.225) and not (0.5, 0.5, 0.5); "
        "input.mean=[0.5, 0.5, 0.5] input.std=[0.5, 0.5, 0.5] feeds the same\n"
    )


def test_what_a_run_may_choose_and_what_is_not_known_is_no_departure():
    spec = InputSpec(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), sampling="uniform", num_frames=8)
    assert said(spec, {**HALVES, "sampling": "dense", "num_frames": 16}) == ""
    assert said(InputSpec(), {}) == ""


@pytest.mark.parametrize(("fed", "message"), [(3, "input is 3"), ({"mean": "red"}, "input.mean")])
def test_a_start_whose_card_is_damaged_is_refused(fed: Any, message: str):
    with pytest.raises(ConfigError, match=rf"start/config\.toml: {message}"):
        said(InputSpec(), fed)
