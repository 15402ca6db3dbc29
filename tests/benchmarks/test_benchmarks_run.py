import json
import sys

import pytest
import torch

from benchmarks import measure


def test_the_attention_benchmark_runs():
    last = json.loads(measure.child_output("benchmarks.attention", "--quick"))
    assert last["benchmark"] == "attention"
    assert last["ratios"]["bf16 160"]["sdpa/chosen"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to benchmark")
def test_the_gpu_benchmark_says_in_one_line_that_there_is_none(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("transformers")
    from benchmarks import gpu

    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit, match="torch sees no CUDA device here"):
        gpu.main()


def test_ours_and_theirs_compute_the_same():
    pytest.importorskip("transformers")
    from benchmarks import peer

    config = peer.our_config("videomae_tiny", image_size=32)
    ours = peer.our_model(config)
    clip, _ = peer.random_input(config, batch=2)
    for form in ("eager", "sdpa"):
        theirs = peer.with_our_weights(peer.their_model(config, form), ours)
        outputs = [peer.forward(model, clip, ours=model is ours)() for model in (ours, theirs)]
        assert peer.difference(*outputs) < 1e-5
