"""What a result was made with: versions and hardware, but nothing that names the machine or its user."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch


def environment(device: torch.device) -> dict[str, str | int]:
    """Versions, processor and threads of this process."""
    found: dict[str, str | int] = {
        "tubelet": version("tubelet"),
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "av": version("av"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_name(),
        "cpu_cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
        "device": str(device),
    }
    if device.type == "cuda":
        found["gpu"] = torch.cuda.get_device_name(device)
    return found


def cpu_name(described: Path = Path("/proc/cpuinfo")) -> str:
    """The processor's model, as Linux describes it; elsewhere what Python knows."""
    if described.exists():
        for line in described.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model") and value.strip():
                return value.strip()
    return platform.processor() or platform.machine()
