import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

import pytest

pytest.importorskip("transformers")
pytest.importorskip("ftfy")
pytest.importorskip("regex")

from benchmarks import xclip, xclip_peer


@contextmanager
def worker_in_a_thread(serve: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    ours, theirs = multiprocessing.Pipe()
    thread = threading.Thread(target=serve, args=(theirs, *arguments))
    thread.start()
    try:
        yield ours
        ours.send("")
    finally:
        ours.close()
        thread.join()


def test_a_round_at_tiny_size_fills_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(xclip, "worker", worker_in_a_thread)
    monkeypatch.setattr(xclip, "speed_up_cpu", lambda: False)
    # Whatever is timed is compared first: a difference would end it.
    taken = xclip.seconds_in_turns("tiny", 1, rounds=1, slow_rounds=1)
    ratios = {kind: xclip.compare(taken, kind) for kind in ("CPU", "wall")}
    assert ratios["wall"].keys() == xclip.ROWS.keys()
    assert all(r > 0 for rows in ratios["wall"].values() for forms in rows.values() for r in forms.values())
    xclip.show("tiny", xclip.medians(taken, "CPU"), ratios)
    assert "as both ship, texts padded to 77" in capsys.readouterr().out


def test_rows_that_were_not_measured_are_left_out():
    taken = {
        f"{setting}: {who} video": [(seconds, seconds, 0.0)] * 3
        for setting in (xclip.PLAIN, xclip.SPED_UP)
        for who, seconds in (("ours", 1.0), ("eager", 3.0), ("sdpa", 2.0))
    }
    assert xclip.compare(taken, "CPU") == {
        "video": {name: {"eager": 3.0, "sdpa": 2.0} for name in xclip.COMPARISONS}
    }


def test_another_models_output_is_not_timed():
    ours, clip = xclip_peer.our_model(xclip_peer.TINY), xclip_peer.random_clip(xclip_peer.TINY)
    tokens = xclip_peer.label_tokens()[:5]
    texts = xclip_peer.inference(lambda: ours.text_features(tokens))()
    model = xclip_peer.their_model(xclip_peer.TINY, "sdpa")  # with weights of its own
    theirs = xclip_peer.their_works(model, "sdpa", clip, tokens, texts)["sdpa video"]
    off = xclip_peer.difference(xclip_peer.our_works(ours, clip, tokens, texts)["ours video"](), theirs())
    assert off > xclip.TOLERANCE
