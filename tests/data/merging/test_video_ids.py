"""Ids of videos, read off names or a table."""

from dataclasses import replace
from pathlib import Path

import pytest

from tubelet.data.merging.video_ids import VideoId, id_rule
from tubelet.data.sample import Sample
from tubelet.errors import ConfigError, DataError


def sample(path: str) -> Sample:
    return Sample(path=f"/somewhere/{path}", label=0, id=path)


@pytest.mark.parametrize(
    ("rule", "path", "found"),
    [
        ("kinetics", "a/-0IErS_cisg_000017_000027.mp4", VideoId(id="-0IErS_cisg", window=(17.0, 27.0))),
        ("kinetics", "-0IErS_cisg.mp4", None),
        ("kinetics", "train000012.mp4", None),
        ("kinetics", "x-0IErS_cisg_000017_000027.mp4", None),
        ("youtube", "-0IErS_cisg_000017_000027.avi", VideoId(id="-0IErS_cisg", window=(17.0, 27.0))),
        ("youtube", "-0IErS_cisg.mp4", VideoId(id="-0IErS_cisg")),
        ("youtube", "a_name_of_some_other_kind.mp4", None),
        ("stem", "v_Archery_g01.c01.avi", VideoId(id="v_Archery_g01.c01")),
        ("stem", "frames/v.01", VideoId(id="v.01")),
        ("none", "-0IErS_cisg_000017_000027.mp4", None),
        (r"v_(?P<id>.{11})(_(?P<start>\d+)_(?P<end>\d+))?", "v_abcdefghijk.mp4", VideoId(id="abcdefghijk")),
        (r"(?P<id>\w+)-(?P<start>\d+)-(?P<end>\d+)", "a-5-9.mp4", VideoId(id="a", window=(5.0, 9.0))),
        (r"(?P<id>\w+)-(?P<start>\d+)-(?P<end>\d+)", "a-9-5.mp4", VideoId(id="a")),
    ],
)
def test_a_rule_reads_the_id_and_the_part_that_is_shown(rule: str, path: str, found: VideoId | None):
    assert id_rule(rule)(sample(path)) == found


def test_a_table_names_the_videos_of_a_list(tmp_path: Path):
    file = tmp_path / "ids.csv"
    file.write_text("path,id,start,end\na/1.mp4,first,,\na/2.mp4,first,10,20\n")
    rule = id_rule(str(file))
    assert rule(sample("a/1.mp4")) == VideoId(id="first")
    assert rule(sample("a/2.mp4")) == VideoId(id="first", window=(10.0, 20.0))
    assert rule(sample("a/3.mp4")) is None
    part = replace(sample("a/1.mp4@0-2.5s#2"), window=(0.0, 2.5))
    assert rule(part) == VideoId(id="first")  # parts of videos are listed by the path of the whole
    file.write_text("path,id\na#1.mp4,first\n")
    assert id_rule(str(file))(sample("a#1.mp4")) == VideoId(id="first")
    file.write_text("path,id\na/1.mp4,first\na/1.mp4,second\n")
    with pytest.raises(DataError, match=r"line 3: 'a/1.mp4' is another video in an earlier line"):
        id_rule(str(file))
    file.write_text("path,id\na/1.mp4,\n")
    with pytest.raises(DataError, match="line 2: has no path or no id"):
        id_rule(str(file))


@pytest.mark.parametrize("rule", ["youtub", "v_(.*)", "(?P<id>"])
def test_other_rules_are_refused(rule: str):
    with pytest.raises(ConfigError, match="the rule for ids"):
        id_rule(rule)


def test_parts_overlap_where_they_share_a_moment_or_may():
    first = VideoId(id="a", window=(0.0, 10.0))
    assert not first.overlaps(VideoId(id="a", window=(10.0, 20.0)))
    assert first.overlaps(VideoId(id="a", window=(9.0, 19.0)))
    assert first.overlaps(VideoId(id="a"))
