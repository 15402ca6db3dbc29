"""Videos that are in a list more than once: by their ids, and by the bytes of their files."""

import os
from collections.abc import Callable, Mapping, Sequence, Set

from tubelet.data.merging.video_ids import VideoId, Windows
from tubelet.data.preparing.examine import content_hash, num_bytes
from tubelet.errors import VideoError


def copies_by_id(
    ids: Mapping[int, VideoId], splits: Sequence[str], paths: Sequence[str], windows: Windows = "same"
) -> dict[int, int]:
    """For each video with the id of an earlier one, the number of that one, which is no copy itself.

    With windows "same", parts of one video are the same video, as in the published K710. With "overlap", parts
    that share no moment are different clips, and so are always the parts of one file that a list names. All that
    is within one split: what a model learns from must not show another part of what judges it.
    """
    originals: dict[str, list[int]] = {}
    copies: dict[int, int] = {}
    for number in sorted(ids):
        earlier = originals.setdefault(ids[number].id, [])
        for other in earlier:
            apart = splits[other] == splits[number] and (
                windows == "overlap" or paths[other] == paths[number]
            )
            if not apart or ids[number].overlaps(ids[other]):
                copies[number] = other
                break
        else:
            earlier.append(number)
    return copies


def same_bytes(
    known: Mapping[str, Set[int]], on_progress: Callable[[int, int], None] | None = None
) -> tuple[dict[str, str], dict[str, str]]:
    """A digest for each file that has as many bytes as another one, and why others could not be read, by path.

    `known` has the paths, and the numbers of the videos that each is known to show: files of one size that all
    show the same are not read. A folder of pictures counts as one file.
    """
    sizes: dict[int, list[str]] = {}
    failures: dict[str, str] = {}
    for path in known:
        try:
            sizes.setdefault(num_bytes(path), []).append(path)
        except (VideoError, OSError) as error:
            failures[path] = str(error)
    to_read = [
        path for alike in sizes.values() if len({frozenset(known[p]) for p in alike}) > 1 for path in alike
    ]
    digests: dict[str, str] = {}
    read: dict[str, str] = {}  # by the file itself, which several paths may name
    for done, path in enumerate(to_read, start=1):
        file = os.path.realpath(path)
        try:
            if file not in read:
                read[file] = content_hash(path, lambda: None)
            digests[path] = read[file]
        except (VideoError, OSError) as error:
            failures[path] = str(error)
        if on_progress is not None:
            on_progress(done, len(to_read))
    return digests, failures
