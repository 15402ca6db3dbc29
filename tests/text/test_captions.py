from tubelet.text.captions import clean_caption


def test_punctuation_vanishes_and_hyphens_part_words():
    assert clean_caption("Well-lit: #1 (of 2); ~slow*") == "well lit 1 of 2 slow"


def test_letters_of_any_language_stay():
    assert clean_caption("Ein Mädchen läuft; 跑步") == "ein mädchen läuft 跑步"


def test_a_caption_is_cut_to_whole_words():
    assert clean_caption("one two three", max_words=2) == "one two"
    assert clean_caption("one two", max_words=5) == "one two"


def test_nothing_stays_nothing():
    assert clean_caption(" ?! ") == ""
