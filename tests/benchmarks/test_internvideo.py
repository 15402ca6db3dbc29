"""What the benchmark makes of a decoder's words."""

from benchmarks.internvideo import caption_rates
from tubelet.data.synthetic.caption_clips import CAPTIONS
from tubelet.data.synthetic.captions import Caption


def test_what_is_no_caption_is_wrong_in_everything_and_new_ones_are_counted():
    seen, unseen = CAPTIONS.split.seen[0], CAPTIONS.split.unseen[0]
    other = Caption(colour=seen.colour, shape=seen.shape, first="grows", second="moves left")
    rates = caption_rates([seen, seen, unseen, unseen], [seen.text, "nonsense", unseen.text, other.text])
    assert (rates["told caption"].right, rates["told caption"].of) == (2, 4)
    assert (rates["well-formed"].right, rates["well-formed"].of) == (3, 4)
    assert rates["new"].right >= 1
    assert rates["told colour"].right >= 2
