"""Files are fetched whole or not at all, from servers that behave in every way."""

import hashlib
import threading
from pathlib import Path

import pytest

from tests.weights.servers import Site, served
from tubelet.errors import WeightsError
from tubelet.weights import fetch as fetching
from tubelet.weights.fetch import cache_folder, fetch, locked, offline

CONTENT = bytes(range(256)) * 400
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def online(monkeypatch: pytest.MonkeyPatch):
    for name in ("HF_HUB_OFFLINE", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def left(folder: Path) -> list[str]:
    """The files of a folder, without locks."""
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


def test_a_file_is_fetched_once(tmp_path: Path):
    path = tmp_path / "cache" / "model.pth"
    with served(Site(CONTENT)) as site:
        assert fetch(site.url, path, sha256=SHA256, num_bytes=len(CONTENT)) == path
        assert fetch(site.url, path) == path
        assert len(site.asked) == 1
    assert path.read_bytes() == CONTENT
    assert left(path.parent) == ["model.pth"]


def test_a_broken_connection_goes_on_where_it_broke(tmp_path: Path):
    with served(Site(CONTENT, cut=30_000)) as site:
        path = fetch(site.url, tmp_path / "model.pth", sha256=SHA256)
        assert site.asked == [None, "bytes=30000-", "bytes=60000-", "bytes=90000-"]
    assert path.read_bytes() == CONTENT


def test_a_later_process_goes_on_too_and_says_so(tmp_path: Path):
    path = tmp_path / "model.pth"
    with served(Site(CONTENT, cut=1_000)) as site:
        with pytest.raises(
            WeightsError, match=r"broke off: 5,000 of 102,400 bytes came; 5,000 bytes are kept"
        ):
            fetch(site.url, path, instead="take another")
        assert not path.exists()
        site.cut, site.asked = None, []
        fetch(site.url, path, sha256=SHA256)
        assert site.asked == ["bytes=5000-"]
    assert left(tmp_path) == ["model.pth"]


@pytest.mark.parametrize(("ranges", "etag"), [(False, '"first"'), (True, None), (True, 'W/"weak"')])
def test_a_server_that_cannot_go_on_sends_all(ranges: bool, etag: str | None, tmp_path: Path):
    with served(Site(CONTENT, cut=50_000, ranges=ranges, etag=etag)) as site:
        with pytest.raises(WeightsError, match="broke off"):
            fetch(site.url, tmp_path / "model.pth")
        site.cut = None
        assert fetch(site.url, tmp_path / "model.pth", sha256=SHA256).read_bytes() == CONTENT


def test_a_file_that_changed_meanwhile_is_not_pieced_together(tmp_path: Path):
    with served(Site(CONTENT, cut=10_000, ranges=False)) as site:
        with pytest.raises(WeightsError, match="broke off"):
            fetch(site.url, tmp_path / "model.pth")
        site.content, site.etag, site.cut, site.ranges = CONTENT[::-1], '"second"', None, True
        assert fetch(site.url, tmp_path / "model.pth").read_bytes() == CONTENT[::-1]


def test_a_whole_file_that_never_got_its_name_is_not_fetched_again(tmp_path: Path):
    (tmp_path / "model.pth.unfinished").write_bytes(CONTENT)
    (tmp_path / "model.pth.unfinished.etag").write_text('"first"')
    with served(Site(CONTENT)) as site:
        assert fetch(site.url, tmp_path / "model.pth", sha256=SHA256).read_bytes() == CONTENT
        assert site.asked == [f"bytes={len(CONTENT)}-"]


def test_a_longer_beginning_than_the_file_is_thrown_away(tmp_path: Path):
    (tmp_path / "model.pth.unfinished").write_bytes(CONTENT + b"more")
    (tmp_path / "model.pth.unfinished.etag").write_text('"first"')
    with served(Site(CONTENT)) as site:
        assert fetch(site.url, tmp_path / "model.pth", sha256=SHA256).read_bytes() == CONTENT


def test_a_wrong_checksum_is_told_and_nothing_is_left(tmp_path: Path):
    message = r"its SHA-256 is \w{12}…, not 000000000000…; take another$"
    with served(Site(CONTENT)) as site, pytest.raises(WeightsError, match=message):
        fetch(site.url, tmp_path / "model.pth", sha256="0" * 64, instead="take another")
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("site", "message"),
    [
        (Site(status=404), r"is gone \(HTTP 404\); take another"),
        (Site(status=503), r"cannot be had \(HTTP 503\)"),
        (Site(b"<html>", kind="text/html"), "answers with a page, not with a file"),
        (Site(CONTENT[:5]), "has 5 bytes where the file on record has 102,400"),
        (Site(CONTENT, claimed=200_000), "has 200,000 bytes where the file on record has 102,400"),
        (Site(CONTENT + b"more", claimed=-1), "has 102,404 bytes where the file on record has 102,400"),
        (Site(CONTENT[:7], claimed=-1), "has 7 bytes where the file on record has 102,400"),
        (Site(redirect="file:///etc/hostname"), "leads to file:///etc/hostname, which is not followed"),
        (
            Site(redirect="ftp://127.0.0.1/model.pth"),
            "leads to ftp://127.0.0.1/model.pth, which is not followed",
        ),
        (Site(redirect="/files/model.pth"), "cannot be reached|is not followed"),
    ],
)
def test_bad_answers_are_one_line_that_names_the_alternative(site: Site, message: str, tmp_path: Path):
    with served(site), pytest.raises(WeightsError, match=message) as caught:
        fetch(site.url, tmp_path / "model.pth", num_bytes=len(CONTENT), instead="take another")
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("take another")
    assert not (tmp_path / "model.pth").exists()


def test_a_redirect_to_the_same_scheme_is_followed(tmp_path: Path):
    with served(Site(CONTENT, redirect="/elsewhere")) as site:
        assert fetch(site.url, tmp_path / "model.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("claimed", [None, -1])
def test_nothing_larger_than_the_limit_is_taken(claimed: int | None, tmp_path: Path):
    with served(Site(CONTENT, claimed=claimed)) as site, pytest.raises(WeightsError, match="100,000"):
        fetch(site.url, tmp_path / "model.pth", max_bytes=100_000)
    assert not (tmp_path / "model.pth").exists()


def test_a_silent_server_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fetching, "SECONDS", 0.1)
    with served(Site(CONTENT, cut=0, stalls=True)) as site, pytest.raises(WeightsError, match="broke off: "):
        fetch(site.url, tmp_path / "model.pth")


def test_what_is_not_there_cannot_be_reached(tmp_path: Path):
    with served(Site()) as site:
        pass
    with pytest.raises(WeightsError, match=r"cannot be reached \(.*refused"):
        fetch(site.url, tmp_path / "model.pth")
    with pytest.raises(WeightsError, match="is no http"):
        fetch("file:///etc/hostname", tmp_path / "model.pth")


def test_offline_only_the_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert offline()
    with served(Site(CONTENT)) as site:
        with pytest.raises(WeightsError, match="HF_HUB_OFFLINE forbids to fetch"):
            fetch(site.url, tmp_path / "model.pth")
        (tmp_path / "model.pth").write_bytes(CONTENT)
        assert fetch(site.url, tmp_path / "model.pth").read_bytes() == CONTENT
        assert site.asked == []


def test_two_that_want_one_file_fetch_it_once(tmp_path: Path):
    path, done = tmp_path / "model.pth", []
    with served(Site(CONTENT)) as site:
        with locked(path):
            threads = [threading.Thread(target=lambda: done.append(fetch(site.url, path))) for _ in range(2)]
            for thread in threads:
                thread.start()
            assert site.asked == []
        for thread in threads:
            thread.join()
        assert len(site.asked) == 1
    assert done == [path, path]


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TUBELET_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("TUBELET_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "tubelet"


def test_a_cache_that_cannot_be_made_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WeightsError, match=r"cannot be made .*; set TUBELET_CACHE"):
        fetch("https://127.0.0.1/model.pth", tmp_path / "file" / "model.pth")
