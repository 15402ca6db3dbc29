import pytest
import torch

from tubelet.errors import ConfigError
from tubelet.text.prompts import KINETICS_TEMPLATES, RAW, TEMPLATES, UCF_TEMPLATES, ensemble, prompts


def test_every_label_is_put_into_every_template():
    found = prompts(["run", "jump"], ["{}", "a video of a person {}."])
    assert found == [["run", "a video of a person run."], ["jump", "a video of a person jump."]]


def test_a_label_alone_is_its_prompt():
    assert prompts(["None", "nan"]) == [["None"], ["nan"]]
    assert RAW == ("{}",)


def test_braces_of_a_label_are_left_alone():
    assert prompts(["{} {x} {0}"], ["do {}"]) == [["do {} {x} {0}"]]


@pytest.mark.parametrize(
    ("templates", "message"),
    [
        ([], "the list of templates is empty"),
        (["a video"], "'a video' has 0 places for a label; mark one with {}"),
        (["{} and {}"], "has 2 places"),
    ],
)
def test_templates_without_one_place_are_refused(templates: list[str], message: str):
    with pytest.raises(ConfigError, match=message):
        prompts(["run"], templates)


def test_published_templates_are_as_many_as_published():
    assert (len(set(KINETICS_TEMPLATES)), len(set(UCF_TEMPLATES))) == (28, 48)
    for templates in TEMPLATES.values():
        assert len(prompts(["run"], templates)[0]) == len(templates)
    assert "a video of a person doing {}." in KINETICS_TEMPLATES
    assert "a photo of the person performing {}." in UCF_TEMPLATES


def test_an_ensemble_is_the_mean_direction():
    embeddings = torch.randn(3, 4, 8)
    found = ensemble(embeddings)
    torch.testing.assert_close(found.norm(dim=-1), torch.ones(3))
    # Long embeddings count no more than short ones, nor does the order.
    torch.testing.assert_close(ensemble(embeddings * torch.rand(3, 4, 1).add(0.1)), found)
    torch.testing.assert_close(ensemble(embeddings.flip(1)), found)
    single = embeddings[:, :1]
    torch.testing.assert_close(ensemble(single), single[:, 0] / single[:, 0].norm(dim=-1, keepdim=True))
