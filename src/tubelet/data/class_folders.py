"""Data sets that are folders: one per class, or all videos that lie in one."""

from collections.abc import Sequence
from pathlib import Path

from tubelet.data.sample import Annotations, Sample
from tubelet.data.video_files import pictures_in, videos_in
from tubelet.errors import DataError


def read_class_folders(
    root: str | Path, *, classes: Sequence[str] | None = None, named_in: Path | None = None
) -> Annotations:
    """Every video below `root`, labelled by the class folder it lies in.

    Where there is no video at all, every picture is a sample: a video of one frame, as in ImageNet. Pictures in
    deeper folders are frames of videos rather than samples, and a DataError.

    Classes are the folders in alphabetical order unless `classes` gives all names, which errors say are those
    of `named_in`. A folder without a single video is no class; files that are hidden or have no video extension
    are left alone. A video beside the class folders is a DataError.
    """
    root = Path(root)
    check_one_kind(root)
    files = {file.relative_to(root): file for file in videos_in(root) or pictures_to_classify(root)}
    found = sorted({inside.parts[0] for inside in files if len(inside.parts) > 1})
    if not files:
        raise DataError(f"{root}: no videos in class folders, as in `{root}/some class/video.mp4`")
    if not found:
        raise DataError(
            f"{root}: its videos have no labels; put them into one folder per class, as in "
            f"`{root}/some class/video.mp4`, or learn from them without labels with `tubelet pretrain`"
        )
    stray = next((inside for inside in files if len(inside.parts) == 1), None)
    if stray is not None:
        raise DataError(f"{root}: the video {str(stray)!r} lies beside the class folders, so it has no label")
    names = found if classes is None else list(classes)
    numbers = {name: i for i, name in enumerate(names)}
    unknown = [name for name in found if name not in numbers]
    if unknown:
        origin = "" if named_in is None else f" in {named_in}"
        way_out = "; name all there, or take that file away: folders are then numbered by the alphabet"
        raise DataError(
            f"{root}: the folder {unknown[0]!r} is none of the {len(names)} classes{origin}"
            f"{way_out if named_in is not None and named_in.is_file() else ''}"
        )
    samples = [
        Sample(path=str(file), label=numbers[inside.parts[0]], id=inside.as_posix())
        for inside, file in files.items()
    ]
    return Annotations(samples=samples, classes=names)


def check_one_kind(root: Path) -> None:
    """Raise where class folders hold a few videos among many pictures: which of them are the samples?

    Up to two pictures per video may be its thumbnails.
    """
    videos = videos_in(root)
    if not videos:
        return
    pictures = [file for file in pictures_in(root) if len(file.relative_to(root).parts) == 2]
    if len(pictures) > 2 * len(videos):
        raise DataError(
            f"{root}: its class folders hold {len(videos)} videos ({videos[0].relative_to(root)}, …) and "
            f"{len(pictures)} pictures ({pictures[0].relative_to(root)}, …); keep one kind"
        )


def pictures_to_classify(root: Path) -> list[Path]:
    """The pictures of all class folders."""
    found = pictures_in(root)
    deep = next((file for file in found if len(file.relative_to(root).parts) > 2), None)
    if deep is not None:
        raise DataError(
            f"{deep}: lies deeper than in a class folder; frames of videos need a list with "
            "`folder total_frames label` on each line"
        )
    return found


def read_unlabelled(folder: Path) -> list[Sample]:
    """Every video below a folder, for learning without labels."""
    found = videos_in(folder)
    if not found:
        raise DataError(f"{folder}: no videos (.mp4, .webm, .avi, …) in this folder or below")
    return [Sample(path=str(f), label=None, id=f.relative_to(folder).as_posix()) for f in found]
