"""What inference returns: frozen values with a short repr and a `to_dict`."""

from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from tubelet.errors import ConfigError


@dataclass(frozen=True)
class Classification:
    """Labels of one video with their probabilities, best first."""

    labels: tuple[str, ...]
    scores: tuple[float, ...]

    def top(self, k: int) -> "Classification":
        """The best `k` labels; all of them where there are fewer."""
        if k < 1:
            raise ConfigError(f"the top {k} labels were asked for; ask for at least 1")
        return Classification(self.labels[:k], self.scores[:k])

    def to_dict(self) -> dict[str, Any]:
        return {"labels": list(self.labels), "scores": list(self.scores)}

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{label} {score:.1%}" for label, score in list(zip(self.labels, self.scores, strict=True))[:5]
        )
        more = f", … ({len(self.labels)} labels)" if len(self.labels) > 5 else ""
        return f"Classification({shown}{more})"


def rank(probabilities: Float[Tensor, "classes"], labels: tuple[str, ...]) -> Classification:
    """Labels sorted by probability."""
    order = probabilities.argsort(descending=True).tolist()
    return Classification(tuple(labels[i] for i in order), tuple(float(probabilities[i]) for i in order))
