"""Videos found by what one writes: vectors made once and compared with any text, the best looked at again.

A video's vector does not depend on the text, so a collection is embedded once (separable scores, prompts off).
X-CLIP's prompts do depend on both, and cannot be indexed: they score the best few again.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from tubelet.config import from_plain
from tubelet.data.batch import Failure
from tubelet.data.transforms import to_model
from tubelet.errors import ConfigError, DataError, VideoError
from tubelet.inference.classify import test_views
from tubelet.inference.identity import weights_digest
from tubelet.inference.label_texts import label_texts, text_model
from tubelet.inference.load import LoadedModel
from tubelet.models.xclip import VideoFeatures

VECTORS, NAMES = "index.safetensors", "index.json"


@dataclass(frozen=True, kw_only=True)
class VideoIndex:
    """Vectors of videos under one model's weights, which `weights` is the SHA-256 of.

    `embeddings` have unit length: the mean direction over the views that the model is tested with. `places` is
    what prompts are made from, where it was kept. `failures` are the videos that could not be read.
    """

    paths: tuple[str, ...]
    embeddings: Float[Tensor, "videos dim"] = field(repr=False)
    weights: str
    places: Float[Tensor, "videos places dim"] | None = field(default=None, repr=False)
    failures: tuple[Failure, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def save(self, folder: str | Path) -> None:
        """Write the index as a folder, which `load_index` reads."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {"embeddings": self.embeddings, "places": self.places}
        unfinished = folder / f"{VECTORS}.unfinished"
        save_file({name: t.contiguous() for name, t in tensors.items() if t is not None}, unfinished)
        # The names go last: an index without them, or with those of other vectors, is refused.
        (folder / NAMES).unlink(missing_ok=True)
        unfinished.replace(folder / VECTORS)
        plain = {"weights": self.weights, "paths": self.paths, "failures": [asdict(f) for f in self.failures]}
        unfinished = folder / f"{NAMES}.unfinished"
        unfinished.write_text(json.dumps(plain, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        unfinished.replace(folder / NAMES)


@dataclass(frozen=True, kw_only=True)
class Match:
    """A video and its cosine with the text; `prompted` is that with prompts, where it was looked at again."""

    path: str
    score: float
    prompted: float | None = None


@dataclass(frozen=True, kw_only=True)
class Matches:
    """Videos for a text, best first: those that were re-ranked, by their prompted score, then the others.

    `failures` are videos that were to be re-ranked and could not be read; they stand first among the rest.
    """

    text: str
    matches: tuple[Match, ...]
    num_videos: int
    failures: tuple[Failure, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        return tuple(match.path for match in self.matches)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __repr__(self) -> str:
        shown = ", ".join(f"{Path(m.path).name} {m.score:.3f}" for m in self.matches[:3])
        more = ", …" if len(self.matches) > 3 else ""
        return f"Matches({self.text!r} in {self.num_videos} videos: {shown}{more})"


def index_videos(
    loaded: LoadedModel,
    videos: Sequence[str | Path],
    *,
    keep_places: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> VideoIndex:
    """Embed videos, each path once.

    `keep_places` also keeps what prompts are made from, one vector per patch of a frame, so that `search` need
    not decode videos again. Videos that cannot be read are in `failures`; that none can be is a DataError.
    `on_progress` hears of (videos done, videos to do).
    """
    model = text_model(loaded)
    if keep_places and model.prompts is None:
        raise ConfigError("this model makes no prompts, so there are no places to keep")
    paths, found, failures = [], [], []
    asked = dict.fromkeys(str(Path(video).absolute()) for video in videos)
    for done, path in enumerate(asked, start=1):
        try:
            found.append(video_features(loaded, path, places=keep_places))
            paths.append(path)
        except VideoError as error:
            failures.append(Failure(path=path, reason=str(error)))
        if on_progress is not None:
            on_progress(done, len(asked))
    if not found:
        reason = failures[0].reason if failures else "none was given"
        raise DataError(f"there is no video to index ({len(failures)} could not be read: {reason})")
    places = [features.places for features in found if features.places is not None]
    return VideoIndex(
        paths=tuple(paths),
        embeddings=torch.cat([features.embedding for features in found]),
        weights=weights_digest(loaded),
        places=torch.cat(places) if keep_places else None,
        failures=tuple(failures),
    )


@torch.inference_mode()
def video_features(loaded: LoadedModel, path: str | Path, *, places: bool) -> VideoFeatures:
    """A video's embedding, of unit length, and with `places` what prompts are made from: means over its views."""
    model, embeddings, seen = text_model(loaded), [], []
    for views in test_views(loaded, path):
        clip = to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std)
        features = model.video_features(clip) if places else VideoFeatures(model.features(clip), None)
        embeddings.append(F.normalize(features.embedding.float(), dim=-1))
        seen.append(features.places)
    mean = torch.cat(embeddings).mean(dim=0, keepdim=True)
    kept = torch.cat(seen).float().mean(dim=0, keepdim=True).cpu() if places else None
    return VideoFeatures(F.normalize(mean, dim=-1).cpu(), kept)


def search(
    loaded: LoadedModel,
    index: VideoIndex,
    text: str,
    *,
    top: int = 10,
    rerank: int = 0,
    templates: str | Sequence[str] | None = None,
) -> Matches:
    """The videos of an index that are nearest to a text, by the cosine of their vectors.

    With `rerank` that many of the best are scored once more with video-specific prompts and ordered by it, before
    all others, whose order stays. That decodes them again unless the index kept their places. `templates` are as
    in `label_texts`. An index of other weights, or re-ranking by a model without prompts, is a ConfigError.
    """
    model = text_model(loaded)
    if top < 1 or rerank < 0:
        raise ConfigError(f"top is {top} and rerank {rerank}; ask for 1 video or more, and re-rank 0 or more")
    if rerank and model.prompts is None:
        raise ConfigError("this model makes no prompts, so there is nothing to re-rank by; leave rerank at 0")
    check_index(loaded, index)
    words = label_texts(loaded, [text], templates=templates, clean=False).embeddings[:1].float()
    cosines = index.embeddings @ F.normalize(words, dim=-1)[0].cpu()
    order = cosines.argsort(descending=True, stable=True).tolist()
    ranked = [Match(path=index.paths[i], score=float(cosines[i])) for i in order]
    again, failures = [], []
    for place, match in zip(order[:rerank], ranked, strict=False):
        try:
            prompted = prompted_cosine(loaded, index, place, words)
        except VideoError as error:
            failures.append(Failure(path=match.path, reason=str(error)))
            continue
        again.append(Match(path=match.path, score=match.score, prompted=prompted))
    again.sort(key=lambda match: -(match.prompted or 0.0))
    scored = {match.path for match in again}
    rest = [match for match in ranked if match.path not in scored]
    return Matches(text=text, matches=(*again, *rest)[:top], num_videos=len(index), failures=tuple(failures))


@torch.inference_mode()
def prompted_cosine(
    loaded: LoadedModel, index: VideoIndex, place: int, words: Float[Tensor, "1 dim"]
) -> float:
    """The cosine of a text and a video of the index once the video has moved the text."""
    model = text_model(loaded)
    if index.places is None:
        video = video_features(loaded, index.paths[place], places=True)
    else:
        video = VideoFeatures(index.embeddings[place : place + 1], index.places[place : place + 1])
    assert video.places is not None
    video = VideoFeatures(video.embedding.to(loaded.device), video.places.to(loaded.device))
    logits = model.logits(video, words.to(loaded.device), prompted=True)
    return float(logits[0, 0] / model.scale())


def check_index(loaded: LoadedModel, index: VideoIndex) -> None:
    """A ConfigError unless the model has the weights that made the index; a DataError where it is damaged."""
    ours = weights_digest(loaded)
    if ours != index.weights:
        raise ConfigError(
            f"the index was made with other weights ({index.weights[:12]}… there, {ours[:12]}… here), and its "
            "vectors mean nothing to this model; use the model it was made with, or make it anew"
        )
    dim = loaded.config.embed_dim
    for name, vectors in (("vectors", index.embeddings), ("places", index.places)):
        if vectors is not None and vectors.shape[-1] != dim:
            raise DataError(
                f"the index is damaged: its {name} have {vectors.shape[-1]} numbers each and the model's {dim}; "
                "make it anew with `tubelet index`"
            )


def load_index(folder: str | Path) -> VideoIndex:
    """The index in a folder; a DataError where it is missing or damaged."""
    folder = Path(folder)
    try:
        named = from_plain(_Named, json.loads((folder / NAMES).read_text(encoding="utf-8")))
        tensors = load_file(folder / VECTORS)
        return _index(named, tensors["embeddings"], tensors.get("places"))
    except FileNotFoundError:
        raise DataError(
            f"{folder} is not an index ({VECTORS} + {NAMES}); `tubelet index` makes one"
        ) from None
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(
            f"{folder} holds a damaged index ({error}); make it anew with `tubelet index`"
        ) from None


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What stands in the file of names."""

    weights: str
    paths: tuple[str, ...]
    failures: tuple[Failure, ...]


def _index(named: _Named, embeddings: Tensor, places: Tensor | None) -> VideoIndex:
    """The index of names and vectors that fit each other; a DataError else."""
    if embeddings.ndim != 2 or len(embeddings) != len(named.paths):
        raise DataError(f"vectors of shape {tuple(embeddings.shape)} for {len(named.paths)} videos")
    if places is not None and (places.ndim != 3 or (len(places), places.shape[2]) != tuple(embeddings.shape)):
        raise DataError(f"places of shape {tuple(places.shape)} for vectors of {tuple(embeddings.shape)}")
    for name, vectors in (("vectors", embeddings), ("places", places)):
        if vectors is not None and not (vectors.is_floating_point() and vectors.isfinite().all()):
            raise DataError(f"{name} that are not all numbers")
    return VideoIndex(
        paths=named.paths,
        embeddings=embeddings.float(),
        weights=named.weights,
        places=None if places is None else places.float(),
        failures=named.failures,
    )
