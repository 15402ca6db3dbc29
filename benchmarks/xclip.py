"""X-CLIP against the one of `transformers`: `python -m benchmarks.xclip [--quick]`.

B/32 and B/16, 8 frames of 224², batch 1, the 400 names of Kinetics' classes, the same random weights; every
output is compared before its time counts. One thread and two; CPU time of the whole process (and wall time, in
the file). Two processes take turns, one as Python starts, one after `tubelet.train.device.speed_up_cpu`, which
can not be undone: on AMD processors oneDNN multiplies, and the C library keeps freed memory. So there are three
comparisons:

  plain         neither side has it
  both sped up  both sides have it
  as shipped    ours with it, as our command line runs, theirs without, as transformers comes

and four rows: the embedding of a video alone; a video with prompts and 400 labels whose texts were encoded once
on both sides; the same as both ship, where we keep texts and transformers encodes them in every call, padded to
the longest, as its documentation does it, or to 77 tokens, as CLIP does.
"""

import os

# Before torch starts its threads: those that wait must not count as work.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch

from benchmarks import measure
from benchmarks import xclip_peer as peer
from benchmarks.workers import answer, worker
from tubelet.models.text_cache import embedded
from tubelet.train.device import speed_up_cpu

PLAIN, SPED_UP = "plain", "sped up"
COMPARISONS = {  # whose setting theirs and ours have
    "plain": (PLAIN, PLAIN),
    "both sped up": (SPED_UP, SPED_UP),
    "as shipped": (PLAIN, SPED_UP),
}
ROWS = {  # what of theirs is held against what of ours
    "video": ("video", "video"),
    "400 labels, texts encoded once": ("labels", "labels"),
    "as both ship, texts padded to the longest": ("shipped", "shipped"),
    "as both ship, texts padded to 77": ("shipped at 77", "shipped"),
}
FEW_TEXTS = ("ours texts", "ours texts from the cache")
MANY_TEXTS = tuple(f"{form} {work}" for work in ("shipped", "shipped at 77") for form in peer.FORMS)
MEMORY_OF = (
    "ours video",
    "ours labels",
    *(f"{form} {w}" for form in peer.FORMS for w in ("video", "labels")),
)
FASTER, FASTER_THAN_SHIPPED = 1.2, 10.0
TOLERANCE = 1e-4

Rounds = list[tuple[float, float, float]]  # CPU seconds, wall seconds and difference of each
Taken = dict[str, Rounds]
KINDS = ("CPU", "wall", "difference")


def main() -> None:
    if "PEAK_OF" in os.environ:
        print(peak_of(*os.environ["PEAK_OF"].split(",")))
        return
    arguments = measure.options(__doc__)
    measure.headline("X-CLIP against transformers, CPU seconds")
    sizes, threads, rounds = (("tiny",), (1,), 1) if arguments.quick else (("B/32", "B/16"), (1, 2), 5)
    figures: dict[str, Any] = {}
    ratios: dict[str, Any] = {}
    for size in sizes:
        for count in threads:
            title = f"{size}, {count} thread{'s' * (count > 1)}"
            # Encoding 400 texts of 77 tokens takes up to half a minute, with the same tower in both sizes.
            slow_rounds = min(rounds, 2) if count == threads[-1] else 0
            taken = seconds_in_turns(size, count, rounds, slow_rounds)
            figures[title] = {kind: medians(taken, kind) for kind in KINDS[:2]}
            figures[title]["difference"] = {name: max(column(all_, KINDS[2])) for name, all_ in taken.items()}
            ratios[title] = {kind: compare(taken, kind) for kind in KINDS[:2]}
            show(title, figures[title]["CPU"], ratios[title])
    if not arguments.quick:
        figures["peak MiB"] = {
            size: {what: peak_in_child(size, what) for what in MEMORY_OF} for size in sizes
        }
        for size, peaks in figures["peak MiB"].items():
            measure.table([f"{size}, peak of a process", "MiB"], list(peaks.items()))
    measure.finish("xclip", figures=figures, ratios=ratios, keep=not arguments.quick)


def seconds_in_turns(size: str, threads: int, rounds: int, slow_rounds: int) -> Taken:
    """Seconds of all work in both settings, "SETTING: WHO WHAT", every round going through all of it."""
    often = [f"{form} {work}" for work in ("video", "labels") for form in ("ours", *peer.FORMS)]
    with_texts = (*MANY_TEXTS, "ours shipped", "ours texts at 77")
    taken: Taken = {}
    with worker(serve, size, threads, PLAIN) as plain, worker(serve, size, threads, SPED_UP) as sped_up:
        ends = {PLAIN: plain, SPED_UP: sped_up}
        for i in range(rounds + 1):
            names = [
                *often,
                *(FEW_TEXTS if slow_rounds else ()),
                *(with_texts if 1 <= i <= slow_rounds else ()),
            ]
            for name in names:
                for setting, end in ends.items():
                    end.send(name)
                    cpu, wall, off = end.recv()
                    if not off <= TOLERANCE:
                        raise SystemExit(
                            f"{name!r} differs by {off:.2g} of its largest value; it is not timed"
                        )
                    if i:  # the first round warms up
                        taken.setdefault(f"{setting}: {name}", []).append((cpu, wall, off))
    return taken


def serve(end: Connection, size: str, threads: int, setting: str) -> None:
    """In the worker: answer every name with seconds and how far the output is from the expected one."""
    torch.set_num_threads(threads)
    if setting == SPED_UP:
        speed_up_cpu()
    works = all_works(size)
    works["ours shipped"]()  # from here on it has the texts
    expected = {kind: works[f"eager {kind}"]() for kind in ("video", "labels")}
    expected |= {"shipped": expected["labels"], "texts": works["ours texts"]()}
    answer(end, works, lambda name, output: peer.difference(output, expected[name.split()[1]]))


def all_works(size: str) -> dict[str, peer.Work]:
    """Everything that is timed, by who does it and what it is."""
    config = peer.SIZES[size]
    clip, tokens = peer.random_clip(config), peer.label_tokens()
    ours: Any = peer.our_model(config)
    with torch.inference_mode():
        texts = embedded(ours, tokens)
    works = peer.our_works(ours, clip, tokens, texts)
    for form in peer.FORMS:
        theirs = peer.with_our_weights(peer.their_model(config, form), ours)
        works |= peer.their_works(theirs, form, clip, tokens, texts)
    return works


def medians(taken: Taken, kind: str) -> dict[str, float]:
    return measure.medians({name: column(rounds, kind) for name, rounds in taken.items()})


def column(rounds: Rounds, kind: str) -> list[float]:
    return [found[KINDS.index(kind)] for found in rounds]


def compare(taken: Taken, kind: str) -> dict[str, dict[str, dict[str, float]]]:
    """Their seconds over ours, by row, comparison and form."""
    return {
        row: {
            name: {
                form: ratio(
                    taken[f"{their_setting}: {form} {theirs}"], taken[f"{our_setting}: ours {ours}"], kind
                )
                for form in peer.FORMS
            }
            for name, (their_setting, our_setting) in COMPARISONS.items()
        }
        for row, (theirs, ours) in ROWS.items()
        if f"{PLAIN}: {peer.FORMS[0]} {theirs}" in taken
    }


def ratio(theirs: Rounds, ours: Rounds, kind: str) -> float:
    return measure.ratio(column(theirs, kind), column(ours[: len(theirs)], kind))


def show(title: str, seconds: Mapping[str, float], ratios: Mapping[str, Any]) -> None:
    rows = []
    for row, by_comparison in ratios["CPU"].items():
        theirs, ours = ROWS[row]
        for name, by_form in by_comparison.items():
            their_setting, our_setting = COMPARISONS[name]
            times = [seconds[f"{our_setting}: ours {ours}"]]
            times += [seconds[f"{their_setting}: {form} {theirs}"] for form in peer.FORMS]
            best, wall = min(by_form.values()), min(ratios["wall"][row][name].values())
            target = {"video": FASTER, "shipped at 77": FASTER_THAN_SHIPPED}.get(theirs)
            met = "" if target is None else f"{target}: {'met' if best >= target else 'missed'}"
            rows.append([row, name, *(f"{s:.3f}" for s in times), best, wall, met])
    columns = ["comparison", "ours s", "eager s", "sdpa s", "best/ours", "by wall time", "target"]
    measure.table([title, *columns], rows)
    texts = [[name, f"{s:.4f}"] for name, s in seconds.items() if " texts" in name]
    if texts:
        measure.table(["400 texts", "s"], texts)


def peak_in_child(size: str, what: str) -> float:
    os.environ["PEAK_OF"] = f"{size},{what}"
    try:
        return float(measure.child_output("benchmarks.xclip"))
    finally:
        del os.environ["PEAK_OF"]


def peak_of(size: str, what: str) -> float:
    """In the child: one model of which only the named work runs, and the most memory the process ever held."""
    torch.set_num_threads(1)
    config, who = peer.SIZES[size], what.split()[0]
    clip, tokens = peer.random_clip(config), peer.label_tokens()
    texts = torch.randn(len(tokens), config.embed_dim)
    if who == "ours":
        works = peer.our_works(peer.our_model(config), clip, tokens, texts)
    else:
        works = peer.their_works(peer.their_model(config, who), who, clip, tokens, texts)
    for _ in range(2):
        works[what]()
    return round(measure.peak_mib(), 1)


if __name__ == "__main__":
    main()
