import json
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tubelet.train.log import MetricsLog, ProgressBar, read_metrics


def test_figures_are_lines_of_json_by_step(tmp_path: Path):
    log = MetricsLog(tmp_path)
    log.write(1, {"loss": 2.0})
    assert json.loads((tmp_path / "metrics.jsonl").read_text()) == {"step": 1, "loss": 2.0}  # at once
    log.close()


def test_a_step_that_ran_twice_counts_once_and_validation_stays_beside_training(tmp_path: Path):
    for losses in ((3.0, 2.0), (1.5,)):
        log = MetricsLog(tmp_path)
        for step, loss in enumerate(losses, start=3 - len(losses)):
            log.write(step, {"loss": loss})
        log.write(2, {"val_top1": 0.5})
        log.close()
    rows = read_metrics(tmp_path)
    assert [row["loss"] for row in rows if "loss" in row] == [3.0, 1.5]
    assert [row["val_top1"] for row in rows if "val_top1" in row] == [0.5]


def test_a_line_that_was_cut_off_by_a_crash_is_passed_over(tmp_path: Path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "lo')
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 2.0}]
    log = MetricsLog(tmp_path)
    log.write(2, {"loss": 1.0})
    log.close()
    assert [row["loss"] for row in read_metrics(tmp_path)] == [2.0, 1.0]


def test_a_run_without_figures_has_none(tmp_path: Path):
    assert read_metrics(tmp_path) == []


def test_plain_output_says_where_it_ends():
    text = StringIO()
    with ProgressBar("training", 3, Console(file=text, width=100)) as bar:
        for step in range(1, 4):
            bar.update(step, f"loss {step}")
    assert text.getvalue() == "training: 3/3  loss 3\n"


def test_a_terminal_gets_a_bar():
    text = StringIO()
    with ProgressBar("training", 3, Console(file=text, width=100, force_terminal=True)) as bar:
        bar.update(2, "loss 1")
        bar.stage("testing", 5)
        bar.update(5)
    assert "testing" in text.getvalue()
    assert "5/5" in text.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_names_are_neither_markup_nor_pictures_nor_commands(terminal: bool):
    text = StringIO()
    with ProgressBar("", 1, Console(file=text, width=100, force_terminal=terminal)) as bar:
        bar.stage("[red]:cat:[/].mp4 \x1b]0;title\x07", 2)
        bar.update(2, "exp[/]ort :dog:")
    shown = text.getvalue()
    assert "[red]:cat:[/].mp4 �]0;title�" in shown
    assert "exp[/]ort :dog:" in shown


def test_plain_output_does_not_fold():
    text = StringIO()
    with ProgressBar("a" * 60, 1, Console(file=text, width=40)) as bar:
        bar.update(1)
    assert text.getvalue() == f"{'a' * 60}: 1/1\n"
