"""Videos in words: captions told word by word, and answers to questions (InternVideo, Wang et al. 2022)."""

import re
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from tubelet.data.transforms import to_model
from tubelet.data.video import Video
from tubelet.errors import ConfigError
from tubelet.inference.classify import test_views
from tubelet.inference.load import LoadedModel
from tubelet.inference.results import Classification, rank
from tubelet.metrics.views import View, merge_views
from tubelet.models.internvideo import InternVideo, SeenVideos
from tubelet.models.internvideo_qa import InternVideoAnswerer
from tubelet.models.text_classifier import tokenizer_for

# What tokens part by a space and writing does not.
JOINED = re.compile(r" ([,.;:!?)]|'(?:s|t|re|ve|m|ll|d)\b)")


def caption(loaded: LoadedModel, video: Video | str | Path, *, max_words: int = 30) -> str:
    """A sentence for a video: always the likeliest next word, until the model ends it.

    Of several views the mean of the logarithms of probabilities counts. `max_words` counts tokens, of which long
    words have several. A model without a decoder is a ConfigError.
    """
    model = captioner(loaded)
    if max_words < 1:
        raise ConfigError(f"max_words is {max_words}; a caption needs room for at least 1")
    with torch.inference_mode():
        seen = [
            model.seen(to_model(views.to(loaded.device), loaded.input.mean, loaded.input.std))
            for views in test_views(loaded, video)
        ]
        every = SeenVideos(torch.cat([one.summary for one in seen]), torch.cat([one.tokens for one in seen]))
        tokens = told(model, every, num_views=len(every.summary), max_words=max_words)
    return written(loaded, tokens[0])


def captioner(loaded: LoadedModel) -> InternVideo:
    """The model, which can tell captions; else a ConfigError."""
    model = loaded.model
    if not isinstance(model, InternVideo) or model.caption is None:
        raise ConfigError(
            f"this model ({type(model).__name__}) tells no captions; train one with `tubelet pretrain "
            "internvideo.pretrain`, or convert one that has a caption decoder"
        )
    return model


def told(
    model: InternVideo, seen: SeenVideos, *, num_views: int = 1, max_words: int = 30
) -> Int64[Tensor, "videos length"]:
    """Greedy captions as tokens between start and end; every `num_views` rows of `seen` are of one video.

    What is still open after `max_words` tokens, or where the context is full, is ended there.
    """
    tokenizer, config = tokenizer_for(model.config.text), model.config.text
    num_videos = len(seen.summary) // num_views
    length = min(max_words + 2, config.context_length)
    tokens = torch.zeros(num_videos, length, dtype=torch.int64, device=seen.summary.device)
    tokens[:, 0] = tokenizer.start
    going_on = torch.ones(num_videos, dtype=torch.bool, device=tokens.device)
    for place in range(1, length - 1):
        # Texts have to end somewhere, and no word sees what follows it.
        tokens[going_on, place] = tokenizer.end
        asked = tokens.repeat_interleave(num_views, dim=0)
        scores = model.words(model.read(asked), seen)[:, place - 1, : tokenizer.vocab_size].float()
        likely = scores.log_softmax(dim=-1).unflatten(0, (num_videos, num_views)).mean(dim=1)
        likely[:, tokenizer.start] = -torch.inf
        tokens[going_on, place] = likely.argmax(dim=1)[going_on]
        going_on &= tokens[:, place] != tokenizer.end
        if not bool(going_on.any()):
            break
    tokens[going_on, -1] = tokenizer.end
    return tokens


def written(loaded: LoadedModel, tokens: Int64[Tensor, " length"]) -> str:
    """The text of tokens, from the start to the first end."""
    tokenizer = tokenizer_for(loaded.config.text)
    words = tokens[1:].tolist()
    return JOINED.sub(r"\1", tokenizer.decode(words[: words.index(tokenizer.end)]).strip())


def answer(loaded: LoadedModel, video: Video | str | Path, question: str) -> Classification:
    """All answers that a model knows with their probabilities, best first: the mean over its views.

    A model that answers no questions is a ConfigError, and so is a question without words. One that is longer
    than the model's context is a DataError.
    """
    model = loaded.model
    if not isinstance(model, InternVideoAnswerer):
        raise ConfigError(
            f"this model ({type(model).__name__}) answers no questions; train one with `tubelet train "
            "internvideo.answer`"
        )
    if not question.strip():
        raise ConfigError("there is no question")
    config = loaded.config.text
    tokens = tokenizer_for(config)([question], context_length=config.context_length).to(loaded.device)
    views: list[View[str]] = []
    with torch.inference_mode():
        for clip, crops in enumerate(test_views(loaded, video)):
            pixels = to_model(crops.to(loaded.device), loaded.input.mean, loaded.input.std)
            scores = model(pixels, tokens.expand(len(pixels), -1)).float().cpu()
            views.extend(View("video", clip, crop, row) for crop, row in enumerate(scores))
    return rank(merge_views(views)["video"], loaded.labels)
