import ctypes
from pathlib import Path

import pytest

from tubelet.ops import build_kernels
from tubelet.ops.build_kernels import FOLDER, LIBRARY, SOURCES, compile_kernels, compiler, source_hash

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler here")


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one tiny kernel, which compiles in no time."""
    monkeypatch.setattr(build_kernels, "SOURCES", ("one.c",))
    (tmp_path / "one.c").write_text("const char *tubelet_source_hash(void) { return SOURCE_HASH; }\n")
    return tmp_path


@needs_compiler
def test_a_library_knows_the_sources_it_was_built_from(small: Path):
    assert compile_kernels(small) == ""
    library = ctypes.CDLL(str(small / LIBRARY.name))
    library.tubelet_source_hash.restype = ctypes.c_char_p
    assert library.tubelet_source_hash().decode() == source_hash(small)
    before = source_hash(small)
    (small / "one.c").write_text("int changed;\n")
    assert source_hash(small) != before


@needs_compiler
def test_code_that_does_not_compile_leaves_a_reason_and_nothing_else(small: Path):
    (small / "one.c").write_text("not C\n")
    assert "failed" in compile_kernels(small)
    assert [path.name for path in small.iterdir()] == ["one.c"]


def test_without_a_compiler_the_reason_names_the_way_out(small: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    assert "there is no C compiler" in compile_kernels(small)


@needs_compiler
def test_cc_may_have_arguments(monkeypatch: pytest.MonkeyPatch):
    found = compiler()
    assert found is not None
    monkeypatch.setenv("CC", f"{found[0]} -O1")
    assert compiler() == [found[0], "-O1"]


def test_all_sources_are_part_of_the_package():
    assert all((FOLDER / name).is_file() for name in SOURCES)
    found = {path.name for path in FOLDER.iterdir() if path.suffix in (".c", ".h")}
    assert found == set(SOURCES)
