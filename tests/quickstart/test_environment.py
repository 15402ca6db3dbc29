"""What a result says about the machine."""

import getpass
import json
import platform
from pathlib import Path

import torch

from tubelet.quickstart.environment import cpu_name, environment


def test_versions_and_threads_are_named_but_neither_host_nor_user():
    found = environment(torch.device("cpu"))
    assert found["torch"] == torch.__version__
    assert found["threads"] == torch.get_num_threads()
    values = [str(value) for value in found.values()]
    assert platform.node() not in values
    assert getpass.getuser() not in values
    json.dumps(found)


def test_the_processor_is_read_from_its_description(tmp_path: Path):
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: Abacus 9000 @ 2 Hz\n\nprocessor\t: 1\n")
    assert cpu_name(described) == "Abacus 9000 @ 2 Hz"
    assert cpu_name(tmp_path / "missing") == (platform.processor() or platform.machine())
