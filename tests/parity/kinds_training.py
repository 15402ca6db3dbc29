"""Losses, schedules, parameter groups, optimizer steps and the merging of views."""

import re
from collections.abc import Callable
from functools import partial

import torch

from tubelet.data.mix import Mix, mix_targets
from tubelet.losses import smoothed_targets, soft_target_cross_entropy
from tubelet.metrics.accuracy import top_k_accuracy
from tubelet.metrics.views import View, merge_views
from tubelet.models import build_model
from tubelet.models.videomae import ClassifierConfig, EncoderConfig, PretrainerConfig
from tubelet.parity.agreement import assert_close
from tubelet.parity.case import Case
from tubelet.parity.videomae import classifier_config, load
from tubelet.train.optim import clip_gradients, param_groups, set_lr
from tubelet.train.schedule import CosineSchedule
from tubelet.weights.rules import rename, to_ours
from tubelet.weights.videomae import LAYOUTS


def check_losses(case: Case) -> None:
    inputs, recorded = case.tensors("in"), case.tensors("out")
    classes, gradients = case.config["classes"], case.tensors("grad")
    logits = inputs["logits"].requires_grad_()
    for name, expected in recorded.items():
        if name == "soft_ce":
            ours = soft_target_cross_entropy(logits, inputs["soft_target"])
        elif name.startswith("label_smoothing_"):
            smoothing = float(name.removeprefix("label_smoothing_"))
            target = smoothed_targets(inputs["label"], classes, smoothing)
            ours = soft_target_cross_entropy(logits, target)
        elif name == "ce":
            target = smoothed_targets(inputs["label"], classes)
            ours = soft_target_cross_entropy(logits, target)
        else:
            lam, smoothing = (float(part) for part in name.removeprefix("mixup_target_lam").split("_smooth"))
            size = len(inputs["label"])
            mix = Mix(lam=(lam,) * size, boxes=(None,) * size)
            ours = mix_targets(inputs["label"], mix, classes, smoothing)
        assert_close(ours, expected, name)
        if f"{name}.logits" in gradients:
            logits.grad = None
            ours.backward()
            assert logits.grad is not None
            assert_close(logits.grad, gradients[f"{name}.logits"], f"gradient of {name}")


def schedule_steps(args: dict[str, float]) -> CosineSchedule:
    """The schedule for the published arguments: `warmup_steps` counts only where there are warm-up epochs."""
    per_epoch = int(args["niter_per_ep"])
    warmup = int(args.get("warmup_epochs", 0) * per_epoch)
    if warmup and args.get("warmup_steps", 0) > 0:
        warmup = int(args["warmup_steps"])
    return CosineSchedule(
        peak=float(args["base_value"]),
        final=float(args["final_value"]),
        num_steps=int(args["epochs"]) * per_epoch,
        warmup_steps=warmup,
        start=float(args.get("start_warmup_value", 0.0)),
    )


def check_schedule(case: Case) -> None:
    for facts in case.facts["cases"]:
        schedule = schedule_steps(facts["args"])
        assert schedule.num_steps == facts["length"]
        for step, expected in enumerate(facts["values"]):
            assert abs(schedule(step) - expected) < 1e-9, (facts["args"], step)


def check_param_groups(case: Case) -> None:
    """Scale and decay of every parameter, by official names. Widths do not matter, so they are small."""
    for facts in case.facts["cases"].values():
        official = facts["params"]
        pretrain = "encoder_to_decoder.weight" in official
        rules = LAYOUTS["official"]["videomae_pretrainer" if pretrain else "videomae_classifier"]
        model = build_model(small_config(list(official), pretrain))
        groups = param_groups(
            model, weight_decay=float(facts["base_weight_decay"]), layer_decay=float(facts["layer_decay"])
        )
        found = {name: group for group in groups for name in group["names"]}
        expected = {name: value for key, value in official.items() for name in rename(key, rules) or ()}
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert abs(found[name]["lr_scale"] - value["lr_scale"]) < 1e-12, name
            assert found[name]["weight_decay"] == value["weight_decay"], name
        if facts["scales_by_layer_id"]:
            scales = sorted({group["lr_scale"] for group in groups})
            assert scales == sorted(facts["scales_by_layer_id"])


def small_config(keys: list[str], pretrain: bool) -> ClassifierConfig | PretrainerConfig:
    """A narrow model with the parameters that the official keys name."""

    def depth(prefix: str) -> int:
        return 1 + max(int(k.removeprefix(prefix).split(".")[0]) for k in keys if k.startswith(prefix))

    start = "encoder." if pretrain else ""
    encoder = EncoderConfig(
        dim=8,
        depth=depth(f"{start}blocks."),
        num_heads=2,
        image_size=8,
        tubelet=(2, 4, 4),
        position="learned" if f"{start}pos_embed" in keys else "sincos",
        qv_bias=f"{start}blocks.0.attn.q_bias" in keys,
        layer_scale=0.1 if f"{start}blocks.0.gamma_1" in keys else None,
    )
    if pretrain:
        return PretrainerConfig(
            encoder=encoder, decoder_dim=4, decoder_depth=depth("decoder.blocks."), decoder_num_heads=1
        )
    return ClassifierConfig(encoder=encoder, pool="mean" if "fc_norm.weight" in keys else "first")


def check_optimizer_steps(case: Case) -> None:
    config, inputs, recorded = case.config, case.tensors("in"), case.tensors("out")
    model, rules = load(case, classifier_config(config), case.tensors("state"))
    model.train()
    per_epoch, accumulate = config["iters_per_epoch"], config["update_freq"]
    steps = config["epochs"] * per_epoch
    lr = CosineSchedule(
        peak=float(config["lr"]),
        final=float(config["min_lr"]),
        num_steps=steps,
        warmup_steps=int(config["warmup_epochs"] * per_epoch),
    )
    first_decay = float(config["weight_decay"])
    last_decay = first_decay if config["weight_decay_end"] is None else float(config["weight_decay_end"])
    decay = CosineSchedule(peak=first_decay, final=last_decay, num_steps=steps)
    for ours, values in ((lr, case.facts["lr_schedule"]), (decay, case.facts["wd_schedule"])):
        assert all(abs(ours(step) - value) < 1e-9 for step, value in enumerate(values))
    groups = param_groups(model, weight_decay=first_decay, layer_decay=float(config["layer_decay"]))
    beta1, beta2, eps = (float(x) for x in re.findall(r"\d[\d.e-]*", config["optimizer"]))
    optimizer = torch.optim.AdamW(groups, lr=float(config["lr"]), betas=(beta1, beta2), eps=eps)
    max_grad_norm = None if config["clip_grad"] is None else float(config["clip_grad"])
    losses = []
    for micro, expected_norm in enumerate(case.facts["grad_norms"]):
        target = smoothed_targets(inputs[f"label_{micro}"], config["num_classes"], float(config["smoothing"]))
        loss = soft_target_cross_entropy(model(inputs[f"video_{micro}"]), target)
        losses.append(loss.detach())
        (loss / accumulate).backward()
        if (micro + 1) % accumulate == 0:
            norm = clip_gradients(model, max_grad_norm)
            assert abs(norm - expected_norm) < 1e-4 * expected_norm
            step = micro // accumulate
            set_lr(optimizer, partial(lr, step), decay(step))
            optimizer.step()
            optimizer.zero_grad()
    assert_close(torch.stack(losses), recorded.pop("losses"), "losses")
    params = {key.removeprefix("param/"): value for key, value in recorded.items()}
    final = model.state_dict()
    for name, expected in to_ours(params, rules).items():
        assert_close(final[name], expected, name)


def check_merge(case: Case) -> None:
    facts = case.facts
    views = [
        View(
            record["id"], record["chunk"], record["crop"], torch.tensor(record["logits"], dtype=torch.float64)
        )
        for record in facts["records"]
    ]
    label = {record["id"]: record["label"] for record in facts["records"]}
    merged = merge_views(views)
    expected = facts["expected"]
    for video, probabilities in expected["mean_prob"].items():
        assert_close(merged[video], torch.tensor(probabilities, dtype=torch.float64), video, atol=1e-9)
    scores = torch.stack([merged[video] for video in label])
    labels = torch.tensor(list(label.values()))
    assert abs(100 * top_k_accuracy(scores, labels, 1) - expected["top1"]) < 1e-6
    assert abs(100 * top_k_accuracy(scores, labels, 5) - expected["top5"]) < 1e-6


CHECKS: dict[str, Callable[[Case], None]] = {
    "losses.soft_target": check_losses,
    "schedule.videomae": check_schedule,
    "optim.param_groups": check_param_groups,
    "videomae.optimizer_steps": check_optimizer_steps,
    "views.videomae_merge": check_merge,
}
