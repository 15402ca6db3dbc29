"""The tables of docs/models.md say what the models are."""

import re
from pathlib import Path

import pytest
import torch

from tubelet.models import VARIANTS, build_model
from tubelet.models.videomamba import PRO_INTENDED, PRO_V1, PRO_V2, VIDEOMAMBA

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if line.startswith("| `")
]
SIZES = {row[0].strip("`"): row[1:] for row in ROWS if row[0].strip("`") in VARIANTS}
SWITCHES = {row[0].strip("`"): row[1:] for row in ROWS if hasattr(VIDEOMAMBA, row[0].strip("`"))}


def num_params(name: str) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in build_model(VARIANTS[name]).parameters())


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_as_documented(name: str):
    config, row = VARIANTS[name], SIZES[name]
    encoder = config.image if hasattr(config, "image") else config.encoder
    assert [str(encoder.dim), str(encoder.depth)] == row[:2]
    if name.startswith("videomamba"):
        assert [f"{num_params(n):,}" for n in (name, f"{name}_image")] == row[2:4]
    else:
        assert str(encoder.num_heads) == row[2]
        assert f"{num_params(name) / 1e6:.1f} M" == row[3]
    if len(row) > 4 and not name.startswith("videomamba"):
        assert str(config.num_frames) == row[4]


def test_every_size_is_in_a_table_or_named_in_the_text():
    names = {name for name in VARIANTS if not re.search(r"_(pretrain|detector|image)$", name)}
    assert {name for name in names if not name.startswith("videomambapro_")} <= {
        *SIZES,
        *re.findall(r"`(\w+)` is ours", TEXT),
    }
    assert all(f"`{name}`" in TEXT for name in VARIANTS if name.startswith("clip_"))


def test_the_four_switches_are_as_documented():
    assert len(SWITCHES) == 4
    for name, row in SWITCHES.items():
        for said, mixer in zip(row, (VIDEOMAMBA, PRO_INTENDED, PRO_V1, PRO_V2), strict=True):
            value = getattr(mixer, name)
            word = ("no", "yes")[value] if isinstance(value, bool) else f"`{value}`"
            assert said.partition(":")[0] == word, name
