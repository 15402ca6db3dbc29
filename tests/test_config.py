"""Settings from plain values, TOML and assignments, and the errors that name what is wrong."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from tubelet.config import check_choices, from_plain, override, read_toml, to_plain, write_toml
from tubelet.errors import ConfigError
from tubelet.recipes import RECIPES, Recipe

SIZES = ("small", "base", "large", "huge")


@dataclass(frozen=True, kw_only=True)
class Inner:
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.999)
    steps: int = 3


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    kind: Literal["mean", "first"] = "mean"
    flip: bool = False
    limit: float | None = None
    many: tuple[str, ...] = ()
    either: int | str = 0
    path: Path = Path("somewhere")
    inner: Inner = field(default_factory=Inner)
    optional: Inner | None = None
    table: dict[str, int] = field(default_factory=dict)
    anything: Any = None


FULL = Outer(
    name="a",
    kind="first",
    flip=True,
    limit=0.5,
    many=("x", "y"),
    either="word",
    path=Path("there"),
    inner=Inner(lr=1.0, betas=(0.1, 0.2)),
    optional=Inner(steps=7),
    table={"one": 1},
    anything=[1, 2],
)


@pytest.mark.parametrize("value", [FULL, Outer(name="only")], ids=["every field", "defaults"])
def test_a_value_survives_plain_values_and_toml(value: Outer, tmp_path: Path):
    assert from_plain(Outer, to_plain(value)) == value
    write_toml(tmp_path / "value.toml", to_plain(value))
    assert from_plain(Outer, read_toml(tmp_path / "value.toml")) == value


def all_recipes() -> list[tuple[str, Recipe]]:
    found = []
    for name, function in RECIPES.items():
        for size in SIZES if function.__defaults__ else (None,):
            try:
                found.append((f"{name}-{size}", function() if size is None else function(size)))
            except ConfigError:
                continue  # a size that was not published
    return found


@pytest.mark.parametrize(("name", "recipe"), all_recipes(), ids=[name for name, _ in all_recipes()])
def test_every_recipe_survives_toml(name: str, recipe: Recipe, tmp_path: Path):
    write_toml(tmp_path / "recipe.toml", to_plain(recipe))
    assert from_plain(Recipe, read_toml(tmp_path / "recipe.toml")) == recipe


@pytest.mark.parametrize(
    ("assignment", "attribute", "value"),
    [
        ("name=b", "name", "b"),
        ("name=a b=c", "name", "a b=c"),
        ("kind=first", "kind", "first"),
        ("flip=true", "flip", True),
        ("limit=5e-4", "limit", 5e-4),
        ("limit=.5", "limit", 0.5),
        ("limit=2", "limit", 2.0),
        ("name=.hidden", "name", ".hidden"),
        ("limit=none", "limit", None),
        ('many=["p", "q"]', "many", ("p", "q")),
        ("either=3", "either", 3),
        ("either=three", "either", "three"),
        ("path=over/there", "path", Path("over/there")),
        (" inner.lr = 1 ", "inner", Inner(lr=1.0)),
        ("inner.betas=[0, 0.5]", "inner", Inner(betas=(0.0, 0.5))),
        ("table.two=2", "table", {"two": 2}),
    ],
)
def test_an_assignment_sets_the_field_in_its_own_type(assignment: str, attribute: str, value: Any):
    changed = getattr(override(Outer(name="a"), [assignment]), attribute)
    assert changed == value
    assert type(changed) is type(value)


def test_later_assignments_win_and_the_original_stays():
    value = Outer(name="a")
    assert override(value, ["inner.steps=4", "inner.steps=5"]).inner.steps == 5
    assert value.inner.steps == 3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("inner.lrr=1", r"inner\.lrr does not exist; did you mean inner\.lr\?"),
        ("nmae=1", r"nmae does not exist; did you mean name\?"),
        ("zzzzzz=1", "zzzzzz does not exist; known here: anything, either"),
        ("inner.lr.deep=1", r"inner\.lr\.deep does not exist: inner\.lr is a single value"),
        ("inner.lr=fast", r"inner\.lr is 'fast'; it has to be float"),
        ("inner.steps=1.5", r"inner\.steps is 1\.5; it has to be int"),
        ("inner.steps=true", r"inner\.steps is True; it has to be int"),
        ("flip=1", "flip is 1; it has to be bool"),
        ("kind=median", "kind is 'median'; it can be 'mean', 'first'"),
        ("inner.betas=[1]", r"inner\.betas has 1 entries; it needs 2"),
        ('inner.betas=[0, "b"]', r"inner\.betas\[1\] is 'b'; it has to be float"),
        ("either=1.5", r"either is 1\.5; it has to be int or str"),
        ("name", "'name' sets nothing: write it as key=value"),
    ],
)
def test_a_wrong_assignment_names_the_key_and_the_way_out(assignment: str, message: str):
    with pytest.raises(ConfigError, match=message):
        override(Outer(name="a"), [assignment])


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({}, "name is missing; Outer cannot do without it"),
        (
            {"name": "a", "inner": {"betass": [0, 1]}},
            r"inner\.betass does not exist; did you mean inner\.betas",
        ),
        ({"name": "a", "inner": 3}, "inner is 3; it has to be Inner"),
        ({"name": "a", "table": {"one": "1"}}, r"table\.one is '1'; it has to be int"),
        ({"name": 3}, "name is 3; it has to be str"),
    ],
)
def test_wrong_plain_values_are_refused_by_path(plain: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        from_plain(Outer, plain)


def test_something_else_than_a_table_is_refused():
    with pytest.raises(ConfigError, match="model is 3; it has to be a table"):
        from_plain(Outer, 3, "model")


def test_a_missing_or_malformed_file_is_named(tmp_path: Path):
    with pytest.raises(ConfigError, match=r"absent\.toml does not exist"):
        read_toml(tmp_path / "absent.toml")
    for content in (b"lr = ", b"\xff\xfe"):
        (tmp_path / "bad.toml").write_bytes(content)
        with pytest.raises(ConfigError, match=r"bad\.toml is not valid TOML"):
            read_toml(tmp_path / "bad.toml")


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path):
    path = tmp_path / "value.toml"
    write_toml(path, {"a": 1})
    with pytest.raises(TypeError):
        write_toml(path, {"a": object()})
    assert read_toml(path) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["value.toml"]


@dataclass(frozen=True, kw_only=True)
class Span:
    low: int = 2
    high: int = 10

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ConfigError(f"low {self.low} is above high {self.high}")


@pytest.mark.parametrize("words", [["low=20", "high=30"], ["high=30", "low=20"]])
def test_assignments_that_only_hold_together_come_in_any_order(words: list[str]):
    assert override(Span(), words) == Span(low=20, high=30)


def test_assigning_inside_an_absent_part_starts_from_its_defaults():
    assert override(Outer(name="a"), ["optional.steps=9"]).optional == Inner(steps=9)


def test_a_word_that_is_none_of_its_choices_is_refused_when_a_config_is_made():
    @dataclass(frozen=True)
    class Scan:
        order: Literal["spatial", "temporal"] = "spatial"

        def __post_init__(self) -> None:
            check_choices(self)

    word: Any = "temporel"
    with pytest.raises(ConfigError, match="order is 'temporel'; it can be 'spatial', 'temporal'"):
        Scan(order=word)
    assert Scan(order="temporal").order == "temporal"
