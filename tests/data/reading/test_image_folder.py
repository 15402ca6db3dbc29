"""A single picture is a video of one frame."""

from pathlib import Path

import pytest
import torch

from tests.data.media_files import moving_pictures, write_picture
from tubelet.data.datasets import VideoDataset
from tubelet.data.input_spec import InputSpec
from tubelet.data.sample import Sample
from tubelet.data.transforms import FinetuneTransform
from tubelet.data.video import Video
from tubelet.errors import VideoError


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    write_picture(tmp_path / "one.png", moving_pictures(1)[0])
    return tmp_path / "one.png"


def test_a_picture_has_one_frame(picture: Path):
    with Video(picture) as video:
        assert (len(video), video.height, video.width) == (1, 48, 64)
        expected = torch.from_numpy(moving_pictures(1)).permute(0, 3, 1, 2)
        assert torch.equal(video.frames([0, 0]).pixels, expected.expand(2, -1, -1, -1))
        with pytest.raises(VideoError, match="frame 1 was asked for, but the video has 1 frames"):
            video.frames([1])


def test_the_name_may_be_in_capitals_and_the_content_of_the_other_kind(picture: Path):
    renamed = picture.with_name("n01.JPEG")
    picture.rename(renamed)
    assert Video(renamed).frames([0]).pixels.shape == (1, 3, 48, 64)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "no such file"), (b"", "is empty"), (b"GIF89a", "neither a JPEG nor a PNG")],
)
def test_what_is_no_picture_is_an_error_with_its_name(tmp_path: Path, content: bytes | None, reason: str):
    path = tmp_path / "odd.jpg"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VideoError, match=rf"odd\.jpg: .*{reason}"):
        Video(path).frames([0])


@pytest.mark.parametrize("sampling", ["dense", "segments", "uniform"])
@pytest.mark.parametrize("num_frames", [1, 2])
def test_every_plan_makes_clips_of_a_picture(picture: Path, sampling: str, num_frames: int):
    spec = InputSpec(
        num_frames=num_frames,
        sampling=sampling,  # pyright: ignore[reportArgumentType]
        image_size=16,
        num_clips=1,
        num_crops=1,
    )
    samples = [Sample(path=str(picture), label=0, id="one")]
    learned = VideoDataset(
        samples=samples, plan=spec.training_plan(), transform=FinetuneTransform(image_size=16)
    )
    judged = VideoDataset(
        samples=samples, plan=spec.test_plan(), transform=spec.test_transform(), random=False
    )
    for dataset in (learned, judged):
        assert dataset[0, 0].pixels.shape == (1, 3, num_frames, 16, 16)  # pyright: ignore[reportAttributeAccessIssue]


def test_a_folder_of_folders_of_pictures_is_not_one_video(tmp_path: Path):
    (tmp_path / "videos" / "first").mkdir(parents=True)
    write_picture(tmp_path / "videos" / "first" / "1.png", moving_pictures(1)[0])
    with pytest.raises(
        VideoError, match=r"no \.jpg or \.png pictures; its subfolders do \(.*first\): give those"
    ):
        len(Video(tmp_path / "videos"))
