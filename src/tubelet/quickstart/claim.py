"""One folder, one quickstart: a folder that holds anything else is refused before a file is written."""

from pathlib import Path
from typing import Any

from tubelet.config import first_difference, read_toml, to_plain, write_toml
from tubelet.errors import ConfigError
from tubelet.quickstart.plan import QuickstartPlan

CLAIM = "quickstart.toml"


def claim(out: Path, plan: QuickstartPlan, seed: int) -> None:
    """Mark a folder as that of a quickstart, or check that it is this one's."""
    asked = {"seed": seed, "plan": to_plain(plan)}
    if (out / CLAIM).exists():
        check_same(out, read_toml(out / CLAIM), asked)
        return
    if out.exists() and not out.is_dir():
        raise ConfigError(f"{out} is a file; give a new folder with --out")
    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"{out} is not empty and holds no quickstart; give a new folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    write_toml(out / CLAIM, asked)


def check_same(out: Path, found: dict[str, Any], asked: dict[str, Any]) -> None:
    """Raise a ConfigError that names what differs."""
    held = found.get("plan", {})
    model = held.get("model", "videomae")  # the only one, before folders said which
    if model != asked["plan"]["model"]:
        raise ConfigError(
            f"{out} holds a quickstart of {model}, not {asked['plan']['model']}; give another --out "
            f"or --model {model}"
        )
    if found.get("seed") != asked["seed"]:
        raise ConfigError(
            f"{out} holds a quickstart with seed {found.get('seed')}, not {asked['seed']}; give another --out "
            f"or --seed {found.get('seed')}"
        )
    difference = first_difference(held, asked["plan"])
    if difference is not None:
        raise ConfigError(f"{out} holds a quickstart with other settings ({difference}); give another --out")
