import multiprocessing
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import Any

import pytest
import torch

from benchmarks import gpu_uniformerv2, measure, uniformerv2
from benchmarks import uniformerv2_peer as peer
from tubelet.models.uniformerv2 import NANO, ClassifierConfig
from tubelet.models.viclip import VARIANTS as VICLIPS

TINY = ClassifierConfig(encoder=replace(NANO, dim=24, depth=3, global_layers=(0, 2)), num_classes=5)
MOTION = replace(TINY, encoder=replace(TINY.encoder, temporal_stride=2, num_frames=5, local_relations=1))
FROZEN = replace(TINY, encoder=replace(TINY.encoder, local_relations=0, frozen_backbone=True))


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


@pytest.mark.parametrize("form", peer.FORMS)
@pytest.mark.parametrize("config", [TINY, MOTION, FROZEN])
def test_the_plain_writing_computes_what_ours_computes(config: ClassifierConfig, form: str):
    ours, clip = peer.our_model(config), peer.random_clip(config, batch=2)
    with torch.inference_mode():
        assert peer.difference(ours(clip), peer.plain_model(ours, form)(clip)) < 1e-4


def test_a_round_at_tiny_size_fills_every_row(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(uniformerv2, "worker", worker_in_a_thread)
    monkeypatch.setattr(uniformerv2, "speed_up_cpu", lambda: False)
    monkeypatch.setitem(uniformerv2.SIZES, "tiny", TINY)
    taken = uniformerv2.seconds_in_turns("tiny", 1, rounds=1)
    ratios = {kind: uniformerv2.compare(taken, kind) for kind in ("CPU", "wall")}
    assert all(r > 0 for forms in ratios["wall"].values() for r in forms.values())
    uniformerv2.show("tiny", uniformerv2.medians(taken, "CPU"), ratios)
    assert "as shipped" in capsys.readouterr().out


def test_features_from_files_and_at_hand_give_the_loss_of_clips():
    config = replace(FROZEN, head_dropout=0.0)
    losses = [work() for work in uniformerv2.frozen_steps(config).values()]
    torch.testing.assert_close(losses[1:], losses[:1] * 2)


def test_the_part_for_gpus_runs_on_a_cpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(gpu_uniformerv2, "DEVICE", "cpu")
    for name, value in (
        ("MODEL", replace(TINY, encoder=replace(TINY.encoder, local_relations=0))),
        ("MOTION", MOTION),
    ):
        monkeypatch.setattr(gpu_uniformerv2, name, value)
    monkeypatch.setattr(gpu_uniformerv2, "VICLIP", VICLIPS["viclip_nano"])
    monkeypatch.setattr(gpu_uniformerv2, "peak_gib", lambda _: 0.0)
    monkeypatch.setattr(measure, "gpu_seconds", measure.cpu_seconds)
    assert all(gpu_uniformerv2.uniformerv2_checks().values())
    gpu_uniformerv2.show_uniformerv2(*gpu_uniformerv2.uniformerv2_times(quick=True))
    assert "step, frozen, features at hand" in capsys.readouterr().out
