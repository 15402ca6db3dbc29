"""How every benchmark here measures: one thread, CPU time, variants taking turns, medians of ratios.

The CPU time of a thread does not count what other processes do meanwhile, and variants that take turns share
whatever else changes. Ratios measured so repeat within about a twelfth on a busy machine.
"""

import argparse
import datetime
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("torch", "transformers", "av", "decord", "opencv-python-headless", "torchcodec")


def options(description: str | None) -> argparse.Namespace:
    """The command line that all benchmarks have."""
    return parser(description).parse_args()


def parser(description: str | None) -> argparse.ArgumentParser:
    """What reads that command line, for a benchmark that has more of its own."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, to see that it runs; writes no file"
    )
    return parser


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU time of this thread during one call."""
    start = time.thread_time()
    work()
    return time.thread_time() - start


def gpu_seconds(work: Callable[[], object]) -> float:
    """Time between two moments at which the GPU has nothing left to do."""
    torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    torch.cuda.synchronize()
    return time.perf_counter() - start


def take_turns(
    variants: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmups: int,
    seconds: Callable[[Callable[[], object]], float] = cpu_seconds,
) -> dict[str, list[float]]:
    """Seconds of every variant in every round after the warm-ups; all of them run in each round, in turn."""
    taken: dict[str, list[float]] = {name: [] for name in variants}
    for i in range(warmups + rounds):
        for name, work in variants.items():
            spent = seconds(work)
            if i >= warmups:
                taken[name].append(spent)
    return taken


def ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times longer the other one takes: the median over rounds."""
    return round(statistics.median(a / b for a, b in zip(theirs, ours, strict=True)), 2)


def medians(taken: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: round(statistics.median(values), 5) for name, values in taken.items()}


def child_output(module: str, *arguments: str) -> str:
    """The last line that a fresh process prints: `python -m MODULE ARGUMENTS`."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()[-1]


def peak_mib(process: int | str = "self") -> float:
    """The most memory this or another process ever held (VmHWM), in MiB. Linux only."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    kib = next(line for line in lines if line.startswith("VmHWM:")).split()[1]
    return int(kib) / 1024


def machine() -> dict[str, Any]:
    """Where and when this runs, and with which versions."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    names = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return {
        "cpu": names[0].partition(":")[2].strip() if names else platform.processor(),
        "cores": len(names),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": versions,
    }


def headline(title: str) -> None:
    where = machine()
    versions = ", ".join(f"{name} {number}" for name, number in where["versions"].items())
    print(
        f"{title}\n{where['gpu'] or where['cpu']}, {where['cores']} CPU cores, {where['date']}\n{versions}\n"
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Rows under their columns; the first column is text, the others are numbers."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    for row in cells:
        first, *rest = (
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        print("  ".join([first, *rest]).rstrip())
    print()


def finish(name: str, *, figures: Mapping[str, Any], ratios: Mapping[str, Any], keep: bool) -> None:
    """Write `results/NAME.json` if figures are to be kept; the last line printed is JSON with the ratios."""
    if keep:
        RESULTS.mkdir(exist_ok=True)
        record = {"benchmark": name, "machine": machine(), "figures": figures, "ratios": ratios}
        path = RESULTS / f"{name}.json"
        path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        print(f"written to {path}")
    print(json.dumps({"benchmark": name, "ratios": ratios}))
