"""The selective scan on a GPU: agreement with the definition, and time beside a plain version and two floors.

The floors are of one kind each: bytes that have to move at all, at the bandwidth that a large copy reaches here
(measured, not from a data sheet), and exponentials, at 16 a clock and multiprocessor. Forward takes one of them
per state and step, the backward pass two more: it computes the states again, and goes back through them.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks import measure
from benchmarks.scan_peers import chunked
from tubelet.ops.causal_conv1d import bidirectional_conv1d, conv_definition
from tubelet.ops.selective_scan import bidirectional_scan, scan_definition

# Steps of 8 and of 64 frames of 224² in patches of 16; channels of VideoMamba-Ti and -M.
LENGTHS, CHANNELS, BATCHES, STATES = (1569, 12545), (384, 1152), (1, 16), 16
EXPONENTIALS = 16  # a clock and multiprocessor, from compute capability 8.0 to 9.0
# The plain version keeps about ten float32 values per state and step for its backward pass.
PEER_STATES = 600_000_000
NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")

Work = Callable[[], object]


def inputs(batch: int, length: int, channels: int, dtype: torch.dtype) -> list[Tensor]:
    """Both directions of a layer, which share z."""
    generator = torch.Generator("cuda").manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda")

    along = (2, batch, length)
    A = -torch.arange(1.0, STATES + 1, device="cuda").repeat(2, channels, 1)
    inputs = [
        random(*along, channels).to(dtype),
        (random(*along, channels) - 2).to(dtype),
        A,
        random(*along, STATES).to(dtype),
        random(*along, STATES).to(dtype),
        random(2, channels),
        random(batch, length, channels).to(dtype),
        0.1 * random(2, channels),
    ]
    return [x.requires_grad_() for x in inputs]


def scan_checks() -> dict[str, bool]:
    """Output and all gradients against the definition in float64, and the convolution likewise."""
    checks = {}
    for dtype, bounds in ((torch.float32, (6e-7, 2e-6)), (torch.bfloat16, (1e-2, 1e-2))):
        leaves = inputs(2, LENGTHS[0], 64, dtype)
        out = bidirectional_scan(*leaves)
        grad_out = torch.randn_like(out)
        found = [out, *torch.autograd.grad(out, leaves, grad_out)]
        exact = [x.detach().double().requires_grad_() for x in leaves]
        u, delta, A, B, C, D, z, bias = exact
        expected, _ = scan_definition(
            u, delta, A, B.unsqueeze(3), C.unsqueeze(3), D, z, bias,
            softplus=True, reverse=(False, True), masked=(False, False),
        )  # fmt: skip
        others = [expected, *torch.autograd.grad(expected, exact, grad_out.double())]
        errors = [float((a.double() - b).norm() / b.norm()) for a, b in zip(found, others, strict=True)]
        print(
            f"scan {dtype}: relative errors",
            dict(zip(("out", *NAMES), (f"{e:.1e}" for e in errors), strict=True)),
        )
        checks[f"scan {dtype} as the definition"] = errors[0] < bounds[0]
        checks[f"scan {dtype}: gradients as the definition's"] = max(errors[1:]) < bounds[1]
    x, weight, bias = (torch.randn(shape, device="cuda") for shape in ((2, 1569, 384), (2, 384, 4), (2, 384)))
    expected = conv_definition(x.double(), weight.double(), bias.double(), silu=True, reverse=(False, True))
    error = (bidirectional_conv1d(x, weight, bias).double() - expected).norm() / expected.norm()
    return checks | {"convolution as the definition": float(error) < 1e-6}


def scan_times(*, quick: bool) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, float]]]:
    """Seconds, floors and ratios of forward, and forward with backward, in bfloat16."""
    bandwidth, exponentials = bytes_per_second(), exponentials_per_second()
    print(
        f"floors: {bandwidth / 1e12:.2f} TB/s as a copy reaches, {exponentials / 1e12:.2f} T exponentials/s\n"
    )
    figures: dict[str, dict[str, float]] = {}
    ratios: dict[str, dict[str, float]] = {}
    shapes = [(b, n, c) for n in LENGTHS for c in CHANNELS for b in BATCHES]
    for batch, length, channels in shapes[:2] if quick else shapes:
        leaves = inputs(batch, length, channels, torch.bfloat16)
        for step in ("forward", "train"):
            works = {"ours": work(bidirectional_scan, leaves, step)}
            if batch * length * channels * STATES <= PEER_STATES:
                works["chunked"] = work(both_chunked, leaves, step)
            taken = measure.take_turns(
                works, rounds=3 if quick else 9, warmups=2, seconds=measure.gpu_seconds
            )
            name = f"{step} {batch} x {length} x {channels}"
            moved, computed = floors(batch, length, channels, step)
            figures[name] = measure.medians(taken) | {
                "bytes floor": moved / bandwidth,
                "exponentials floor": computed / exponentials,
            }
            floor = max(moved / bandwidth, computed / exponentials)
            ratios[name] = {"ours/floor": round(figures[name]["ours"] / floor, 2)}
            if "chunked" in works:
                ratios[name]["chunked/ours"] = measure.ratio(taken["chunked"], taken["ours"])
        del leaves
        torch.cuda.empty_cache()
    return figures, ratios


def floors(batch: int, length: int, channels: int, step: str) -> tuple[float, float]:
    """Bytes and exponentials that both directions of a layer cannot do without, in bfloat16."""
    row = 2 * batch * length * channels
    states = 2 * batch * length * STATES
    # Forward: u and delta of both directions and z are read, out is written, B and C are read.
    moved = 6 * row + 2 * 2 * states
    computed = batch * length * channels * STATES * 2
    if step == "train":
        # All of that is read once more, and the gradient of out; gradients of u, delta, z, B and C are written.
        moved += 7 * row + 5 * row + 4 * 2 * states
        computed *= 3
    return moved, computed


def show_scans(figures: dict[str, dict[str, float]], ratios: dict[str, dict[str, float]]) -> None:
    rows = [
        [
            name,
            *(f"{1000 * figure[key]:.3f}" if key in figure else "-" for key in ("ours", "chunked")),
            *(f"{1000 * figure[key]:.3f}" for key in ("bytes floor", "exponentials floor")),
            ratios[name]["ours/floor"],
            ratios[name].get("chunked/ours", "-"),
        ]
        for name, figure in figures.items()
    ]
    columns = ["ours ms", "chunked ms", "bytes ms", "exponentials ms", "ours/floor", "chunked/ours"]
    measure.table(["scan, bf16, clips x steps x channels", *columns], rows)


def both_chunked(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, bias: Tensor
) -> Tensor:
    """Two directions of the plain version; time is flipped for the second."""
    forwards = chunked(u[0], delta[0], A[0], B[0], C[0], D[0], z, bias[0])
    u, delta, B, C = (x[1].flip(1) for x in (u, delta, B, C))
    return forwards + chunked(u, delta, A[1], B, C, D[1], z.flip(1), bias[1]).flip(1)


def work(scan: Callable[..., Tensor], leaves: list[Tensor], step: str) -> Work:
    weight = torch.ones_like(leaves[6])

    def forward() -> Tensor:
        with torch.no_grad():
            return scan(*leaves)

    return forward if step == "forward" else lambda: torch.autograd.grad(scan(*leaves), leaves, weight)


def bytes_per_second() -> float:
    """What copying a GiB reaches: each byte is read and written."""
    source = torch.empty(1 << 30, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    taken = [measure.gpu_seconds(lambda: target.copy_(source)) for _ in range(12)]
    return 2 * source.numel() / min(taken)


def exponentials_per_second() -> float:
    """At the highest clock of this GPU, which it may not hold under load."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    # In kHz since torch 2.9; the H200's where an older one does not tell.
    clock = 1000 * getattr(properties, "clock_rate", 1_980_000)
    return EXPONENTIALS * properties.multi_processor_count * clock
