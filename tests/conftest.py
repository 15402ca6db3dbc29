"""Options and settings that every test shares."""

from pathlib import Path

import pytest
import torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--golden",
        type=Path,
        default=Path(__file__).parent / "golden",
        help="folder of recorded cases that tests/parity runs (default: tests/golden)",
    )


@pytest.fixture(autouse=True)
def one_thread():
    """Recorded cases are single-threaded, and two cores shared by spinning threads are slower than one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
