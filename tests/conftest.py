"""Options and settings that every test shares."""

import os
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
    parser.addoption(
        "--numerics",
        type=Path,
        help="file that tests/parity writes with the largest difference of every case (docs/numerics.md)",
    )
    parser.addoption(
        "--manifests",
        type=Path,
        default=Path(__file__).parent / "weights" / "manifests",
        help="folder of published checkpoints' key lists that tests/weights converts (default: the packed ones)",
    )
    parser.addoption(
        "--corpus",
        type=Path,
        default=Path(__file__).parent / "media" / "corpus",
        help="folder of odd, broken and hostile videos that tests/data reads (default: tests/media/corpus)",
    )


def pytest_configure() -> None:
    # Also for fixtures of whole modules, which are made before `one_thread` runs.
    torch.set_num_threads(1)
    os.environ["TUBELET_INDEX_CACHE"] = ""  # no files in the home of whoever runs the tests


@pytest.fixture(autouse=True)
def one_thread():
    """Recorded cases are single-threaded, and two cores shared by spinning threads are slower than one."""
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a few short videos of two motions in three splits; not to be written to."""
    # Imported late: tubelet must not be loaded before jaxtyping's plugin is ready to check its shapes.
    from tests.tiny import write_motions

    return write_motions(tmp_path_factory.mktemp("data") / "motions")
