"""Labels put into sentences, and the embeddings of several sentences made one (CLIP, section 3.1.4)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from tubelet.errors import ConfigError
from tubelet.text.labels import spoken

# The label is the prompt: what X-CLIP was trained and tested with.
RAW = ("{}",)

_MEDIA = ("photo", "video", "example", "demonstration")
_VERBS = ("", "using ", "doing ", "during ", "performing ", "practicing ")

# The 28 sentences that CLIP's authors published for Kinetics-700 ("a example" is theirs), written from memory of
# their list; only how many there are could be checked here …
KINETICS_TEMPLATES = tuple(
    f"a {medium} of {what}{{}}."
    for what, medium in product(("", *(f"a person {verb}" for verb in _VERBS)), _MEDIA)
)
# … and the 48 for UCF-101.
UCF_TEMPLATES = tuple(
    f"a {medium} of {who} person {verb}{{}}." for who, verb, medium in product(("a", "the"), _VERBS, _MEDIA)
)
TEMPLATES = {"raw": RAW, "kinetics": KINETICS_TEMPLATES, "ucf": UCF_TEMPLATES}


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How the names of classes become texts.

    Each name is put into every template; several make one class together. `spoken` parts CamelCase and
    underscores into words first. Published X-CLIP reads names as they are.
    """

    templates: tuple[str, ...] = RAW
    spoken: bool = False

    def __post_init__(self) -> None:
        check_templates(self.templates)

    def __call__(self, labels: Sequence[str]) -> list[list[str]]:
        """For every label, what a model reads.

        >>> Wording(templates=("{}", "a video of {}."), spoken=True)(["ApplyLipstick"])
        [['Apply Lipstick', 'a video of Apply Lipstick.']]
        """
        return prompts([spoken(label) for label in labels] if self.spoken else labels, self.templates)


def prompts(labels: Sequence[str], templates: Sequence[str] = RAW) -> list[list[str]]:
    """For every label, it in each of the templates; `{}` stands for the label.

    >>> prompts(["running", "a {} jump"], ["{}", "a video of a person {}."])[0]
    ['running', 'a video of a person running.']
    """
    check_templates(templates)
    # Not str.format, which would ask for more than labels where a template holds other braces.
    return [[template.replace("{}", label) for template in templates] for label in labels]


def check_templates(templates: Sequence[str]) -> None:
    """Raise a ConfigError unless there are templates with one place for a label each."""
    if not templates:
        raise ConfigError("the list of templates is empty; '{}' alone is the label as it is")
    for template in templates:
        if template.count("{}") != 1:
            raise ConfigError(
                f"the template {template!r} has {template.count('{}')} places for a label; mark one with {{}}"
            )


def ensemble(embeddings: Float[Tensor, "labels prompts embed_dim"]) -> Float[Tensor, "labels embed_dim"]:
    """One embedding of unit length per label: the mean direction of the embeddings of its prompts."""
    return F.normalize(F.normalize(embeddings, dim=-1).mean(dim=1), dim=-1)
