import torch

from tubelet.data.boxes import enlarge_boxes


def test_boxes_grow_by_a_share_of_their_size_on_both_sides_together():
    grown = enlarge_boxes(torch.tensor([[10.0, 20.0, 29.0, 59.0]]), (0.1, 0.05), 100, 100)
    torch.testing.assert_close(
        grown, torch.tensor([[9.0, 19.0, 30.0, 60.0]])
    )  # 20 × 40 pixels, corners included


def test_boxes_stay_inside_the_frame():
    grown = enlarge_boxes(torch.tensor([[0.0, 1.0, 49.0, 39.0]]), (0.5, 0.5), 40, 50)
    torch.testing.assert_close(grown, torch.tensor([[0.0, 0.0, 49.0, 39.0]]))


def test_no_growth_changes_nothing():
    boxes = torch.tensor([[3.0, 4.0, 8.0, 9.0]])
    assert torch.equal(enlarge_boxes(boxes, (0.0, 0.0), 20, 20), boxes)
