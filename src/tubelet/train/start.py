"""What a run's result says of the checkpoint that it started from, so that authors and licences are not lost."""

from pathlib import Path
from typing import Any

from tubelet.config import read_toml

KEPT = ("published", "address", "file", "sha256", "trained_for", "init")


def start_of(said: str, folder: Path) -> dict[str, Any]:
    """What is on record of a checkpoint folder: the name it was called by, and where its weights are from.

    Of a path only the last part: where files lie at home is nobody's business.
    """
    source = read_toml(folder / "config.toml").get("source", {})
    name = said if not Path(said).exists() else Path(said).resolve().name
    return {"name": name, **{key: source[key] for key in KEPT if key in source}}
