"""Audits the synthetic data set for shortcuts, in a few CPU minutes; ends with one line of JSON.

    python -m benchmarks.synth_audit --level L1 --train 6000 --test 6000

Renders clips of all motions straight to pixels (no files) and trains each probe of
`tubelet.data.synthetic.audit` on them. The figures in docs/synth.md were made by this command.
"""

import argparse
import json
import platform
import sys
import time
from dataclasses import replace

import torch

from tubelet.data.synthetic.audit import AuditReport, audit
from tubelet.data.synthetic.audit_probes import PROBES
from tubelet.data.synthetic.synth import LEVELS, RENDERER, SynthConfig


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--level", choices=LEVELS, default="L1")
    parser.add_argument("--motions", nargs="*", help="default: all")
    parser.add_argument("--size", type=int, default=32, help="pixels of a side")
    parser.add_argument(
        "--radius", type=float, nargs=2, default=(0.14, 0.28), help="larger sprites, for few pixels"
    )
    parser.add_argument("--train", type=int, default=6000, help="training clips")
    parser.add_argument("--test", type=int, default=6000, help="test clips")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--probes", nargs="*", default=list(PROBES), choices=list(PROBES))
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def config_of(options: argparse.Namespace) -> SynthConfig:
    level = LEVELS[options.level]
    return replace(
        level,
        motions=tuple(options.motions or level.motions),
        size=options.size,
        radius=tuple(options.radius),
        seed=options.seed,
    )


class Clock:
    """Prints the seconds that each stage took, to stderr."""

    def __init__(self) -> None:
        self.begun = time.process_time()

    def __call__(self, stage: str, done: int, total: int) -> None:
        if done == total:
            now = time.process_time()
            print(f"{stage}: {now - self.begun:.0f} CPU s", file=sys.stderr, flush=True)
            self.begun = now


def print_pairs(report: AuditReport) -> None:
    for finding in report.findings:
        print(f"\n{finding.probe}")
        for pair, rate in finding.pairs.items():
            print(f"  {pair:48} {rate}")


def main() -> None:
    options = parsed()
    torch.set_num_threads(options.threads)
    begun = time.process_time()
    report = audit(
        config_of(options),
        num_train=options.train,
        num_test=options.test,
        epochs=options.epochs,
        probes=options.probes,
        seed=options.seed,
        on_progress=Clock(),
    )
    print(report.table())
    print_pairs(report)
    facts = {
        "benchmark": "synth_audit",
        "level": options.level,
        "size": options.size,
        "renderer": RENDERER,
        "epochs": options.epochs,
        "seed": options.seed,
        "cpu_seconds": round(time.process_time() - begun),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }
    print(json.dumps({**facts, **report.to_dict()}))


if __name__ == "__main__":
    main()
