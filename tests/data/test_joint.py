"""Videos and pictures in turn."""

import pytest

from tubelet.data.joint import JointOrder, joint_order
from tubelet.data.loader import TrainingOrder
from tubelet.errors import ConfigError, DataError

VIDEOS = TrainingOrder(num_samples=10, batch_size=4, micro_batch_size=2, seed=3)


def test_a_step_has_both_kinds_in_turn_and_as_many_micro_batches_of_either():
    order = joint_order(VIDEOS, num_images=13, batch_size=6)
    assert order.accumulate == 4
    assert order.steps_per_epoch == VIDEOS.steps_per_epoch == 2
    step = list(order.micro_batches(0, 1))
    assert [len(batch) for batch in step] == [2, 3, 2, 3]
    assert all(index < 10 for batch in step[::2] for _, index in batch)
    assert all(10 <= index < 23 for batch in step[1::2] for _, index in batch)


def test_videos_come_as_they_do_alone():
    order = joint_order(VIDEOS, num_images=13, batch_size=6)
    assert list(order.micro_batches(0, 7))[::2] == list(VIDEOS.micro_batches(0, 7))


def test_steps_do_not_depend_on_where_a_run_starts():
    order = joint_order(VIDEOS, num_images=13, batch_size=6)
    assert list(order.micro_batches(0, 9))[5 * 4 :] == list(order.micro_batches(5, 9))


def test_pictures_have_epochs_of_their_own():
    order = joint_order(VIDEOS, num_images=12, batch_size=6)
    pictures = [key for batch in list(order.micro_batches(0, 4))[1::2] for key in batch]
    assert sorted(pictures[:12]) == [(0, 10 + i) for i in range(12)]
    assert sorted(pictures[12:]) == [(1, 10 + i) for i in range(12)]


def test_batches_that_cannot_be_made_are_refused():
    with pytest.raises(DataError, match="5 pictures do not fill one batch of 6; set image_batch_size"):
        joint_order(VIDEOS, num_images=5, batch_size=6)
    with pytest.raises(ConfigError, match="image_batch_size 7 does not divide into the 2 micro-batches"):
        joint_order(VIDEOS, num_images=13, batch_size=7)
    with pytest.raises(ConfigError, match="2 micro-batches of videos and 1 of pictures"):
        JointOrder(
            videos=VIDEOS, images=TrainingOrder(num_samples=8, batch_size=4, micro_batch_size=4, seed=0)
        )
