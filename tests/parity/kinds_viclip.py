"""ViCLIP's positions moved to other sizes."""

from collections.abc import Callable

import torch

from tubelet.models.viclip import resize_times
from tubelet.ops.resample import resize_positions
from tubelet.parity.agreement import assert_close
from tubelet.parity.case import Case


def check_positions(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    times, num_frames = inputs["temporal"][0], config["T_new"]
    assert len(times) == config["T_old"]
    places = inputs["positional"]
    sides = [config[name] // config["patch"] for name in ("res_old", "res_new")]
    old, new = ((1, side, side) for side in sides)
    named = {
        "temporal_linear": resize_times(times, num_frames, "published")[None],
        "temporal_zero_pad_or_truncate": resize_times(times, num_frames, "zeros")[None],
        "positional": torch.cat([places[:1], resize_positions(places[1:], old, new)]),
    }
    for name, tensor in recorded.items():
        assert_close(named[name], tensor, name)


CHECKS: dict[str, Callable[[Case], None]] = {
    "viclip.position_resize": check_positions,
}
