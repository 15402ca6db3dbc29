"""The selective scan on one CPU thread against what PyTorch alone can do: `python -m benchmarks.scan [--quick]`.

One direction, one clip of 1569 steps (8 frames of 224² in patches of 16, and a class token), 384 channels
(VideoMamba-Ti), 16 states, float32, with softplus, bias, skip and gate. Forward, and forward with the gradients
of all eight inputs. CPU time of one thread, interleaved, outputs compared before anything is timed; for all of
them the C library keeps freed memory, as our command line lets it, which the loop profits from most.

  ours again   ours right after ours: the loop leaves nothing of the inputs in the caches, ours does
  lean loop    one addcmul per step (benchmarks/scan_peers.py)
  mambapy      its parallel scan, where it is installed
  mixer        a whole bidirectional mixer of ours against one direction of `transformers`' MambaMixer, which
               falls back to PyTorch on a CPU; the ratio is per direction. "plain": neither multiplies with
               oneDNN (`tubelet.train.device.speed_up_cpu`); "oneDNN": both do; "as shipped": ours in our command
               line against theirs in a fresh process without either setting, so not interleaved

Also: errors against the definition in float64, equality for any number of threads, and bytes kept for the
backward pass beside the inputs.
"""

import importlib.util
import os
import statistics
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import measure
from benchmarks.scan_peers import lean_loop
from tubelet.layers.ssm import Mixer, MixerConfig, init_mixer
from tubelet.ops.compiled import missing
from tubelet.ops.selective_scan import selective_scan
from tubelet.train.device import keep_freed_memory

LENGTH, DIM, CHANNELS, STATES = 1569, 192, 384, 16
# Of the issue that asked for them: how many times faster, and how far from float64.
FORWARD, TRAIN, MAMBAPY, MIXER = 12, 15, 60, 15
OUTPUT_ERROR, GRADIENT_ERROR, MAPS = 3e-7, 2e-6, 2
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")

Scan = Callable[..., Tensor]


def main() -> None:
    torch.set_num_threads(1)
    if "MIXER_OF_LENGTH" in os.environ:
        print(seconds_as_shipped(int(os.environ["MIXER_OF_LENGTH"])))
        return
    arguments = measure.options(__doc__)
    keep_freed_memory()
    if missing():
        raise SystemExit(f"{missing()}; there is nothing to measure")
    measure.headline("Selective scan, CPU milliseconds of one thread")
    length, rounds = (98, 2) if arguments.quick else (LENGTH, 9)
    given = inputs(length)
    scans = all_scans()
    agree(scans, given)
    figures, ratios = {}, {}
    for step, work in (("forward", forward), ("train", train)):
        works = {name: work(scan, given) for name, scan in scans.items()}
        works = {"ours": works.pop("ours"), "ours again": work(our_scan, given), **works}
        taken = measure.take_turns(works, rounds=rounds, warmups=2)
        figures[step] = measure.medians(taken)
        ratios[step] = compare(taken)
    taken = measure.take_turns(mixer_works(length), rounds=rounds, warmups=2)
    figures["mixer"] = measure.medians(taken)
    os.environ["MIXER_OF_LENGTH"] = str(length)
    figures["mixer"]["transformers as shipped"] = float(measure.child_output("benchmarks.scan"))
    ratios["mixer"] = {
        name: 2 * measure.ratio(taken[f"transformers {name}"], taken[f"ours {name}"])
        for name in ("plain", "oneDNN")
    }
    shipped = figures["mixer"]["transformers as shipped"] / figures["mixer"]["ours oneDNN"]
    ratios["mixer"]["as shipped"] = round(2 * shipped, 2)
    show(figures, ratios)
    figures["errors"] = errors(given)
    figures["maps kept"] = maps_kept(given)
    figures["equal for 1, 2 and 3 threads"] = equal_for_any_threads(given)
    show_exactness(figures)
    measure.finish("scan", figures=figures, ratios=ratios, keep=not arguments.quick)


def inputs(length: int) -> dict[str, Tensor]:
    """Inputs of the size a VideoMamba sees; steps of about a tenth."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    given = {
        "u": normal(1, length, CHANNELS),
        "delta": normal(1, length, CHANNELS) - 2,
        "A": -torch.arange(1.0, STATES + 1).repeat(CHANNELS, 1),
        "B": normal(1, length, STATES),
        "C": normal(1, length, STATES),
        "D": normal(CHANNELS),
        "z": normal(1, length, CHANNELS),
        "delta_bias": 0.1 * normal(CHANNELS),
    }
    return {name: given[name].requires_grad_() for name in NAMES}


def our_scan(*tensors: Tensor) -> Tensor:
    return selective_scan(*tensors).out


def all_scans() -> dict[str, Scan]:
    scans: dict[str, Scan] = {"ours": our_scan, "lean loop": lean_loop}
    if importlib.util.find_spec("mambapy"):
        scans["mambapy"] = mambapy_scan
    return scans


def mambapy_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor
) -> Tensor:
    from mambapy.pscan import pscan  # pyright: ignore[reportMissingImports]

    step = torch.nn.functional.softplus(delta + delta_bias)
    states = pscan(torch.exp(step.unsqueeze(-1) * A), (step * u).unsqueeze(-1) * B.unsqueeze(2))
    return ((states @ C.unsqueeze(-1)).squeeze(-1) + D * u) * torch.nn.functional.silu(z)


def forward(scan: Scan, given: dict[str, Tensor]) -> Callable[[], object]:
    tensors = [x.detach() for x in given.values()]

    def work() -> Tensor:
        with torch.no_grad():
            return scan(*tensors)

    return work


def train(scan: Scan, given: dict[str, Tensor]) -> Callable[[], object]:
    tensors = list(given.values())
    weight = torch.randn(given["u"].shape, generator=torch.Generator().manual_seed(1))
    return lambda: torch.autograd.grad(scan(*tensors), tensors, weight)


def agree(scans: dict[str, Scan], given: dict[str, Tensor]) -> None:
    """All compute the same before they are timed."""
    expected = forward(our_scan, given)()
    for name, scan in scans.items():
        found = forward(scan, given)()
        assert isinstance(found, Tensor)
        assert isinstance(expected, Tensor)
        off = float((found - expected).norm() / expected.norm())
        if not off < 1e-5:
            raise SystemExit(f"{name} differs from ours by {off:.2g}; it must not be timed")


def compare(taken: dict[str, list[float]]) -> dict[str, float]:
    """Their time over ours, which comes upon caches full of the others' tensors, and over ours right after."""
    peers = {name: theirs for name, theirs in taken.items() if not name.startswith("ours")}
    again = {
        f"{name}, ours warm": measure.ratio(theirs, taken["ours again"]) for name, theirs in peers.items()
    }
    return {name: measure.ratio(theirs, taken["ours"]) for name, theirs in peers.items()} | again


def mixer_works(length: int) -> dict[str, Callable[[], object]]:
    """The forward pass of a mixer: ours scans in both directions, theirs in one."""
    torch.manual_seed(0)
    ours = Mixer(DIM, MixerConfig())
    init_mixer(ours, depth=24)
    mixers = {"ours": ours, "transformers": their_mixer()}
    tokens = torch.randn(1, length, DIM)

    def of(mixer: nn.Module, precision: str) -> Callable[[], object]:
        def work() -> object:
            torch.backends.mkldnn.matmul.fp32_precision = precision  # pyright: ignore[reportAttributeAccessIssue]
            with torch.no_grad():
                return mixer(tokens)

        return work

    settings = {"plain": "none", "oneDNN": "bf16"}
    return {f"{who} {name}": of(m, value) for who, m in mixers.items() for name, value in settings.items()}


def seconds_as_shipped(length: int) -> float:
    """In the child: the time of transformers' mixer in a process that nobody has tuned."""
    mixer, tokens = their_mixer(), torch.randn(1, length, DIM)
    with torch.no_grad():
        taken = measure.take_turns({"theirs": lambda: mixer(tokens)}, rounds=5, warmups=2)
    return statistics.median(taken["theirs"])


def their_mixer() -> nn.Module:
    from transformers import MambaConfig
    from transformers.models.mamba.modeling_mamba import MambaMixer
    from transformers.utils import logging

    config = MambaConfig(
        hidden_size=DIM, state_size=STATES, conv_kernel=4, expand=2, time_step_rank=DIM // 16
    )
    logging.set_verbosity_error()  # that it falls back is what is measured
    return MambaMixer(config, layer_idx=0)


def errors(given: dict[str, Tensor]) -> dict[str, float]:
    """Relative distance of the output and of every gradient from the definition in float64."""
    weight = torch.randn(given["u"].shape, generator=torch.Generator().manual_seed(1))
    exact = [x.detach().double().requires_grad_() for x in given.values()]
    out = our_scan(*exact)
    expected = [out, *torch.autograd.grad(out, exact, weight.double())]
    ours = our_scan(*given.values())
    found = [ours, *torch.autograd.grad(ours, list(given.values()), weight)]
    return {
        name: float((f.detach().double() - e.detach()).norm() / e.detach().norm())
        for name, f, e in zip(("out", *NAMES), found, expected, strict=True)
    }


def maps_kept(given: dict[str, Tensor]) -> float:
    """What one scan keeps for its backward pass beside its inputs, in activation maps (length × channels)."""
    known = {x.data_ptr() for x in given.values()}
    kept: dict[int, int] = {}

    def note(x: Tensor) -> Tensor:
        if x.data_ptr() not in known:
            kept[x.data_ptr()] = x.numel() * x.element_size()
        return x

    with torch.autograd.graph.saved_tensors_hooks(note, lambda x: x):
        our_scan(*given.values())
    return round(sum(kept.values()) / (given["u"].numel() * 4), 3)


def equal_for_any_threads(given: dict[str, Tensor]) -> bool:
    """Whether output and gradients have the same bits whatever the number of threads."""
    found: list[list[Any]] = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        out = our_scan(*given.values())
        found.append([out, *torch.autograd.grad(out.square().sum(), list(given.values()))])
    torch.set_num_threads(1)
    return all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


def show(figures: dict[str, Any], ratios: dict[str, dict[str, float]]) -> None:
    targets = {
        ("forward", "lean loop"): FORWARD,
        ("train", "lean loop"): TRAIN,
        ("forward", "mambapy"): MAMBAPY,
        **{("mixer", name): MIXER for name in ("plain", "oneDNN", "as shipped")},
    }
    rows = [[f"{step}: {name}", f"{1000 * s:.2f}"] for step in ratios for name, s in figures[step].items()]
    measure.table(["what", "ms"], rows)
    judged = [
        [
            f"{step}: {name} / ours",
            ratio,
            targets.get((step, name), ""),
            verdict(ratio, targets.get((step, name))),
        ]
        for step, found in ratios.items()
        for name, ratio in found.items()
    ]
    measure.table(["ratio", "times", "target", ""], judged)


def verdict(ratio: float, target: float | None) -> str:
    return "" if target is None else "met" if ratio >= target else "missed"


def show_exactness(figures: dict[str, Any]) -> None:
    rows = [
        [name, f"{off:.1e}", f"{OUTPUT_ERROR if name == 'out' else GRADIENT_ERROR:.0e}"]
        for name, off in figures["errors"].items()
    ]
    measure.table(["error against float64", "relative", "allowed"], rows)
    print(f"kept for backward, beside the inputs: {figures['maps kept']} maps (at most {MAPS})")
    print(f"equal for 1, 2 and 3 threads: {figures['equal for 1, 2 and 3 threads']}\n")


if __name__ == "__main__":
    main()
