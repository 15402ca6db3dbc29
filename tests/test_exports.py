"""What packages say they export is what they have, in order."""

import importlib
import pkgutil

import pytest

import tubelet


def modules_with_all() -> list[str]:
    names = ["tubelet", *(m.name for m in pkgutil.walk_packages(tubelet.__path__, "tubelet."))]
    return [name for name in names if hasattr(importlib.import_module(name), "__all__")]


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
