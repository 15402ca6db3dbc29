"""What packages say they export is what they have, in order."""

import importlib
from pathlib import Path

import pytest

import tubelet

ROOT = Path(tubelet.__file__).parent


def modules_with_all() -> list[str]:
    paths = [path for path in sorted(ROOT.rglob("*.py")) if "\n__all__ = " in path.read_text()]
    names = [path.relative_to(ROOT.parent).with_suffix("").parts for path in paths]
    return [".".join(parts).removesuffix(".__init__") for parts in names]


@pytest.mark.parametrize("name", modules_with_all())
def test_exports_exist_once_and_sorted(name: str):
    module = importlib.import_module(name)
    # The order of ruff's RUF022: constants, classes, the rest.
    order = sorted(module.__all__, key=lambda n: (0 if n.isupper() else 1 if n[0].isupper() else 2, n))
    assert module.__all__ == order
    assert len(set(module.__all__)) == len(module.__all__)
    for export in module.__all__:
        assert hasattr(module, export), f"{name}.{export} does not exist"


def test_the_public_names_are_all_exported():
    public = {
        name
        for name, value in vars(tubelet).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith("tubelet.")
    }
    assert public <= set(tubelet.__all__)


def test_every_error_can_be_caught_as_one_of_ours_and_as_a_builtin():
    builtins = (ValueError, ImportError, RuntimeError)
    for name in tubelet.__all__:
        value = getattr(tubelet, name)
        if isinstance(value, type) and issubclass(value, Exception) and value is not tubelet.TubeletError:
            assert issubclass(value, tubelet.TubeletError)
            assert issubclass(value, builtins)
