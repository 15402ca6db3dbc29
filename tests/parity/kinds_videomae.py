"""What moves between VideoMAE's models, its tables of positions, and its masks."""

from collections.abc import Callable, Sequence

import torch

from tubelet.layers.position import sincos_positions
from tubelet.ops.resample import resize_positions
from tubelet.parity.agreement import assert_close
from tubelet.parity.case import Case
from tubelet.tasks.masking import tube_mask
from tubelet.weights.files import Checkpoint
from tubelet.weights.finetune import finetune_state
from tubelet.weights.rules import Rule, rename
from tubelet.weights.videomae import LAYOUTS


def check_pretrain_to_finetune(case: Case) -> None:
    """Which keys of a pre-trained file start a fine-tuning run, by the official names on both sides."""
    for facts in case.facts["cases"].values():
        sources: dict[str, str | None] = facts["finetune_key_from_pretrain_key"]
        moved = {target: source for target, source in sources.items() if source is not None}
        fresh, unused = facts["not_loaded_finetune_keys"], facts["unused_pretrain_keys"]
        pretrain_rules = LAYOUTS["official"]["videomae_pretrainer"]
        finetune_rules = LAYOUTS["official"]["videomae_classifier"]

        def ours(key: str, rules: Sequence[Rule]) -> tuple[str, ...]:
            names = rename(key, rules)
            assert names, f"no rule claims {key}"
            return names

        start = {n: torch.zeros(1) for key in [*moved, *fresh] for n in ours(key, finetune_rules)}
        published = {
            n: torch.ones(1) for key in [*moved.values(), *unused] for n in ours(key, pretrain_rules)
        }
        filled, kept, left = finetune_state(Checkpoint(None, published), start)
        assert sorted(kept) == sorted(n for key in fresh for n in ours(key, finetune_rules))
        assert sorted(left) == sorted(n for key in unused for n in ours(key, pretrain_rules))
        for target, source in moved.items():
            assert ours(target, finetune_rules) == ours(source, pretrain_rules)
            assert all(filled[name] == 1 for name in ours(target, finetune_rules))


def check_sincos(case: Case) -> None:
    for name, table in case.tensors("out").items():
        n, d = (int(part[1:]) for part in name.split("_")[1:])
        assert_close(sincos_positions(n, d), table, name, atol=1e-6)
    for sample in case.facts.get("sampled_full_size_tables", []):
        table = sincos_positions(sample["n"], sample["d"])
        picked = table[sample["rows"]][:, sample["cols"]]
        assert_close(picked, torch.tensor(sample["values"]), f"{sample['n']}x{sample['d']}", atol=1e-6)


def check_position_resize(case: Case) -> None:
    config = case.config
    table = case.tensors("in")["pos_embed"]
    grid = (config["temporal"], config["grid_from"], config["grid_from"])
    new_grid = (config["temporal"], config["grid_to"], config["grid_to"])
    resized = resize_positions(table[0], grid, new_grid)[None]
    assert_close(resized, case.tensors("out")["pos_embed"], "pos_embed")


def check_tube_masks(case: Case) -> None:
    for facts in case.facts["cases"]:
        frames, rows, columns = facts["input_size"]
        generator = torch.Generator().manual_seed(0)
        grid = (frames, rows, columns)
        masks = torch.stack([tube_mask(grid, facts["mask_ratio"], generator) for _ in range(200)])
        assert masks.shape == (200, facts["total_tokens"])
        per_frame = masks.unflatten(1, (frames, rows * columns))
        assert (per_frame.sum(dim=2) == facts["masked_per_frame"]).all()
        assert (masks.sum(dim=1) == facts["total_masked"]).all()
        assert facts["same_mask_every_frame"] == bool((per_frame == per_frame[:, :1]).all())
        if facts["example_first_frame_mask"] is not None:
            assert sum(facts["example_first_frame_mask"]) == facts["masked_per_frame"]
        # Every cell is masked equally often, as in the recorded draws.
        expected = facts["masked_per_frame"] / (rows * columns)
        spread = 5 * (expected * (1 - expected) / 200) ** 0.5
        assert (per_frame[:, 0].float().mean(dim=0) - expected).abs().max() <= spread


CHECKS: dict[str, Callable[[Case], None]] = {
    "videomae.pretrain_to_finetune_keys": check_pretrain_to_finetune,
    "position.sincos": check_sincos,
    "resample.position": check_position_resize,
    "masking.tube": check_tube_masks,
}
