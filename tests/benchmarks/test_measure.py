import json
from collections.abc import Callable

import pytest

from benchmarks import measure


def test_variants_take_turns_and_warm_ups_do_not_count():
    order = []
    clock = iter(range(100))

    def seconds(work: Callable[[], object]) -> float:
        work()
        return float(next(clock))

    taken = measure.take_turns(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")},
        rounds=2,
        warmups=1,
        seconds=seconds,
    )
    assert order == list("ababab")
    assert taken == {"a": [2.0, 4.0], "b": [3.0, 5.0]}


def test_a_ratio_is_the_median_of_the_rounds_and_not_of_the_medians():
    assert measure.ratio([2.0, 9.0, 10.0], [1.0, 3.0, 10.0]) == 2.0


def test_cpu_time_passes_while_working():
    assert measure.cpu_seconds(lambda: sum(range(100_000))) > 0


def test_the_peak_of_this_process_is_more_than_torch_itself():
    assert measure.peak_mib() > 100


def test_the_last_line_is_json_with_the_ratios(capsys: pytest.CaptureFixture[str], tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    measure.finish("example", figures={"a": 1.0}, ratios={"b": 2.0}, keep=True)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "benchmark": "example",
        "ratios": {"b": 2.0},
    }
    assert json.loads((tmp_path / "example.json").read_text())["figures"] == {"a": 1.0}


def test_a_quick_run_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "RESULTS", tmp_path)
    measure.finish("example", figures={}, ratios={}, keep=False)
    assert not list(tmp_path.iterdir())
