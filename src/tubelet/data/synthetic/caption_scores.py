"""What a model got right about captions: by factor, and against captions that look alike.

Pictures alone reveal colour and shape, so an accuracy over captions says little about motion until it is split.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from tubelet.data.synthetic.audit import Rate
from tubelet.data.synthetic.captions import Caption
from tubelet.errors import DataError

FACTORS = ("colour", "shape", "motion", "order")


def differences(one: Caption, other: Caption) -> tuple[str, ...]:
    """The factors in which two captions differ, of `FACTORS`.

    The motion is which actions there are; the order is compared where these are the same.
    """
    found = [factor for factor in ("colour", "shape") if getattr(one, factor) != getattr(other, factor)]
    if set(one.actions) != set(other.actions):
        found.append("motion")
    elif one.actions != other.actions:
        found.append("order")
    return tuple(found)


def factor_rates(truths: Sequence[Caption], answers: Sequence[Caption]) -> dict[str, Rate]:
    """How often answers are right in each factor, and as a whole (`caption`).

    The order counts only where there are two actions and the answer names both, so that its chance is one half.
    """
    _check_equally_many("answers", len(answers), truths)
    wrong = [differences(truth, answer) for truth, answer in zip(truths, answers, strict=True)]
    rates = {
        factor: Rate(right=sum(factor not in found for found in wrong), of=len(wrong)) for factor in FACTORS
    }
    ordered = [
        "order" not in found
        for truth, found in zip(truths, wrong, strict=True)
        if truth.second is not None and "motion" not in found
    ]
    rates["order"] = Rate(right=sum(ordered), of=len(ordered))
    return {"caption": Rate(right=sum(not found for found in wrong), of=len(wrong)), **rates}


def contrast_rates(
    scores: Float[Tensor, "clips captions"], truths: Sequence[int], captions: Sequence[Caption]
) -> dict[str, Rate]:
    """How often the true caption scores higher than harder and harder others.

    | others | differ in | chance |
    |---|---|---|
    | `look` | motion or order: all captions of the same colour and shape at once | by their number |
    | `twin` | order: the same actions, exchanged | one half |
    | `reversal` | the direction of time: the same frames backwards | one half, whatever sees no order |

    `truths` are numbers of `captions`. Clips whose caption has no such other are left out; a tie counts as wrong.
    """
    _check_equally_many("scores", len(scores), truths)
    numbers = {caption: number for number, caption in enumerate(captions)}
    rivals: dict[str, list[set[int]]] = {
        "look": [
            {numbers[other] for other in captions if other.look == caption.look} for caption in captions
        ],
        "twin": [{numbers.get(caption.twin, -1)} for caption in captions],
        "reversal": [{numbers.get(caption.reversal, -1)} for caption in captions],
    }
    rates = {}
    for kind, others in rivals.items():
        right = []
        for row, truth in zip(scores.tolist(), truths, strict=True):
            against = others[truth] - {truth, -1}
            if against:
                right.append(all(row[truth] > row[other] for other in against))
        rates[kind] = Rate(right=sum(right), of=len(right))
    return rates


def _check_equally_many(what: str, number: int, truths: Sequence[object]) -> None:
    if number != len(truths):
        raise DataError(f"{number} {what} for {len(truths)} clips; there must be one for each")
