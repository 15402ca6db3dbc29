"""Files of names that mean the same."""

from pathlib import Path

import pytest

from tubelet.data.label_sets import FOLDER, merged_names
from tubelet.data.merging.synonyms import Synonyms, read_synonyms
from tubelet.errors import DataError

SAME = {
    "synonyms.txt": "# mine\ndying  hair -> dyeing hair\n? lute -> flute\n\n[b]\nkick -> kick (sport)\n",
    "synonyms.toml": '"dying hair" = "dyeing hair"\n[b]\nkick = "kick (sport)"\n',
    "synonyms.json": '{"dying hair": "dyeing hair", "b": {"kick": "kick (sport)"}}',
    "synonyms.csv": "old,merged,set\ndying hair,dyeing hair,\nkick,kick (sport),b\n",
}


@pytest.mark.parametrize("name", SAME)
def test_every_kind_of_file_says_the_same(name: str, tmp_path: Path):
    (tmp_path / name).write_text(SAME[name])
    found = read_synonyms(tmp_path / name)
    assert dict(found.everywhere) == {"dying hair": "dyeing hair"}
    assert found.within == {"b": {"kick": "kick (sport)"}}
    assert found.undecided == (name == "synonyms.txt")


def test_k710_s_own_file_is_one_of_them():
    assert read_synonyms(FOLDER / "k710_merged.txt").everywhere == merged_names()


def test_what_is_merged_may_be_merged_again_but_not_in_circles():
    synonyms = Synonyms(everywhere={"a": "b", "b": "c", "d": "d"}, within={"s": {"x": "a"}})
    assert [synonyms.merged(name, "s") for name in ("a", "x", "d")] == ["c", "c", "d"]
    assert synonyms.merged("x", "t") == "x"
    with pytest.raises(DataError, match="in circles: a -> b -> a"):
        Synonyms(everywhere={"a": "b", "b": "a"})


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("s.txt", "run, running\n", "line 1: expected `old -> merged`, found 'run, running'"),
        ("s.txt", "run ->\n", "expected `old -> merged`"),
        ("s.txt", "a -> b -> c\n", "expected `old -> merged`"),
        ("s.txt", "a -> b\na -> c\n", "'a' becomes 'c', but 'b' further up"),
        ("s.txt", "a -> b\nb -> a\n", "circles"),
        ("s.txt", "", "empty"),
        ("s.csv", "from,to\na,b\n", "expected the columns old,merged"),
        ("s.csv", "old,merged\na,\n", "a name is empty"),
        ("s.json", '["a", "b"]', "expected names and what they become"),
        ("s.json", '{"a": 3}', "'a' becomes 3; both have to be names"),
        ("s.json", '{"a": "b",\n"a": "c"}', "line 2: 'a' is there twice"),
        ("s.json", '{"a ": "b", " a": "c"}', "'a' becomes 'c', but 'b' further up"),
        ("s.json", "{", "is no JSON"),
        ("s.json", "[" * 5000, "too many lists within lists"),
        ("s.toml", '"a " = "b"\na = "c"\n', "'a' becomes 'c', but 'b' further up"),
        ("s.toml", "a = ", "no valid TOML"),
        ("s.toml", None, "cannot be read"),
    ],
)
def test_a_malformed_file_is_told_with_its_place(name: str, text: str | None, says: str, tmp_path: Path):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError) as error:
        read_synonyms(tmp_path / name)
    assert says in str(error.value)
    assert name in str(error.value)
