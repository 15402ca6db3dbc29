"""What videos look like, in 512 bytes."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tubelet.data import child_pool
from tubelet.data.encode import write_mp4
from tubelet.data.merging.fingerprint import (
    THRESHOLD,
    distances,
    fingerprint,
    fingerprints_of,
    shows_something,
    similar_copies,
)
from tubelet.data.synthetic.synth import LEVELS, render_clip
from tubelet.errors import VideoError

CONFIG = replace(LEVELS["L1"], size=64, num_frames=24, fps=12)


def clip(index: int) -> Tensor:
    return render_clip(CONFIG, "train", index).pixels


def printed(folder: Path, pixels: Tensor, fps: int = 12, crf: int = 18) -> Tensor:
    write_mp4(folder / "clip.mp4", pixels.contiguous(), fps=fps, crf=crf)
    return fingerprint(str(folder / "clip.mp4"))


def distance(one: Tensor, other: Tensor) -> float:
    return float(distances(one[None], other[None]))


@pytest.mark.parametrize("change", ["encoded", "smaller", "squeezed", "slower", "brighter"])
def test_a_copy_that_was_encoded_again_stays_close(change: str, tmp_path: Path):
    pixels = clip(0)
    changed, fps, crf = {
        "encoded": (pixels, 12, 30),
        "smaller": (F.interpolate(pixels, size=(32, 32), mode="bilinear", antialias=True), 12, 20),
        "squeezed": (F.interpolate(pixels, size=(48, 64), mode="bilinear", antialias=True), 12, 20),
        "slower": (pixels[::2], 6, 20),
        "brighter": ((pixels.float() * 0.9 + 15).to(torch.uint8), 12, 20),
    }[change]
    assert distance(printed(tmp_path, pixels), printed(tmp_path, changed, fps, crf)) <= THRESHOLD


def test_other_videos_and_other_parts_of_a_scene_are_far(tmp_path: Path):
    pixels = clip(0)
    first, second = (printed(tmp_path, part) for part in pixels.split(12))
    assert distance(first, second) > 3 * THRESHOLD
    assert distance(printed(tmp_path, pixels), printed(tmp_path, clip(1))) > 3 * THRESHOLD


def test_mirrored_and_cropped_copies_are_not_found_as_documented(tmp_path: Path):
    pixels = clip(0)
    original = printed(tmp_path, pixels)
    assert distance(original, printed(tmp_path, pixels.flip(-1))) > THRESHOLD
    assert distance(original, printed(tmp_path, pixels[..., 8:-8, 8:-8])) > THRESHOLD


def test_a_video_of_fewer_frames_than_a_fingerprint_has_one_too(tmp_path: Path):
    pixels = clip(0)[:1]
    assert printed(tmp_path, pixels).shape == (512,)


def test_blank_videos_show_nothing_to_compare():
    generator = torch.Generator().manual_seed(0)
    black = torch.zeros(512, dtype=torch.uint8)
    noise = torch.randint(0, 256, (512,), generator=generator, dtype=torch.uint8)
    assert shows_something(torch.stack([black, black + 3, noise])).tolist() == [False, False, True]


@pytest.mark.parametrize("block", [1, 3, 1024])
def test_each_copy_names_the_first_that_it_is_like(block: int):
    generator = torch.Generator().manual_seed(0)
    a, b, c = torch.randint(0, 250, (3, 512), generator=generator, dtype=torch.uint8)
    copies = similar_copies(torch.stack([a, b, a + 1, c, a, b + 2]), block=block)
    assert {number: of for number, (of, _) in copies.items()} == {2: 0, 4: 0, 5: 1}
    assert all(found <= THRESHOLD for _, found in copies.values())


def test_nothing_is_like_nothing():
    assert similar_copies(torch.zeros(0, 512, dtype=torch.uint8)) == {}


def test_work_that_was_cut_short_goes_on(tmp_path: Path):
    good, bad, journal = (tmp_path / name for name in ("good.mp4", "bad.mp4", "prints.jsonl"))
    write_mp4(good, clip(0), fps=12)
    bad.write_bytes(b"no video")
    files = [str(good), str(bad)]
    found, failures = fingerprints_of(files, journal)
    assert (list(found), list(failures)) == ([str(good)], [str(bad)])
    counts = []
    again, _ = fingerprints_of(files, journal, on_progress=lambda done, total: counts.append(total))
    assert torch.equal(again[str(good)], found[str(good)])
    assert counts == [1]  # the bad one is tried again
    write_mp4(good, clip(1), fps=12)
    changed, _ = fingerprints_of(files, journal)
    assert not torch.equal(changed[str(good)], found[str(good)])


def test_a_process_that_crashes_costs_its_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def work_apart(
        work: object, items: list[str], *, workers: int
    ) -> Iterator[tuple[str, bytes | child_pool.Broken]]:
        assert workers == 2
        yield items[1], bytes(512)
        yield items[0], child_pool.Broken(reason="the process that read it crashed (SIGSEGV)")

    monkeypatch.setattr("tubelet.data.merging.fingerprint.work_apart", work_apart)
    (tmp_path / "b.mp4").write_bytes(b"read elsewhere")
    files = [str(tmp_path / name) for name in ("a.mp4", "b.mp4")]
    found, failures = fingerprints_of(files, tmp_path / "prints.jsonl", workers=2)
    assert (list(found), list(failures)) == ([files[1]], [files[0]])


def test_a_damaged_journal_costs_a_second_look_and_nothing_else(tmp_path: Path):
    file, journal = tmp_path / "a.mp4", tmp_path / "prints.jsonl"
    write_mp4(file, clip(0), fps=12)
    found, _ = fingerprints_of([str(file)], journal)
    entry = json.loads(journal.read_text())
    for pixels in ("AAAA", "?", 3):
        journal.write_text(json.dumps({**entry, "pixels": pixels}) + "\n")
        assert torch.equal(fingerprints_of([str(file)], journal)[0][str(file)], found[str(file)])


def test_what_is_no_video_has_no_fingerprint(tmp_path: Path):
    with pytest.raises(VideoError, match="no such file"):
        fingerprint(str(tmp_path / "missing.mp4"))
