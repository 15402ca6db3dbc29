"""One's own words as a model reads them: cleaned, put into sentences, and embedded once for many videos."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxtyping import Float
from torch import Tensor

from tubelet.data.input_spec import InputSpec
from tubelet.errors import ConfigError
from tubelet.inference.identity import weights_digest
from tubelet.inference.load import LoadedModel
from tubelet.models.clip import Clip
from tubelet.models.text_cache import TextCache, fingerprint
from tubelet.models.text_classifier import class_texts, class_tokens
from tubelet.models.video_text import VideoTextModel
from tubelet.text.labels import check_labels, spoken
from tubelet.text.prompts import TEMPLATES, Wording
from tubelet.text.tokenizer import clip_tokenizer

# What a video is compared with besides the labels, so that "none of these" can win.
NEUTRAL_TEXTS = ("a video", "something else", "nothing in particular", "background")

# Texts of this process; a set is found again only for the same weights and tokens.
_TEXTS = TextCache()


@dataclass(frozen=True, kw_only=True)
class TextSetting:
    """What scores depend on besides the video and the label; thresholds hold for one of them.

    `model` is the SHA-256 of all weights and of the config, `input` what the model is fed. `windows` is off where
    a video was judged as a whole, by all views of a test, and on where windows were, each by one view.
    """

    model: str
    input: InputSpec
    windows: bool
    templates: tuple[str, ...]
    neutral: tuple[str, ...]
    prompted: bool


@dataclass(frozen=True, kw_only=True)
class LabelTexts:
    """Labels ready to be compared with videos by the model that embedded them.

    `labels` are as given, `read` what stands in the sentences for them, `repeated` labels (in lower case) that
    say the same as others and how often, `truncated` the sentences that were cut to the model's context. The
    embeddings are not of unit length.
    """

    labels: tuple[str, ...]
    read: tuple[str, ...]
    templates: tuple[str, ...]
    neutral: tuple[str, ...]
    sentences: tuple[tuple[str, ...], ...]  # of each label
    repeated: dict[str, int]
    truncated: tuple[str, ...]
    first: tuple[int, ...] = field(repr=False)  # of each label, the first one with the same tokens
    embeddings: Float[Tensor, "texts embed_dim"] = field(
        repr=False, compare=False
    )  # labels, then neutral ones
    made_by: tuple[object, ...] = field(repr=False, compare=False)

    def check_belongs(self, loaded: LoadedModel) -> None:
        """A ConfigError unless the model has the text tower that embedded the labels, unchanged."""
        if fingerprint(text_model(loaded).text) != self.made_by:
            raise ConfigError(
                "these label texts were embedded by another model, or by this one before its weights changed; "
                "make them anew with label_texts"
            )

    def setting(self, loaded: LoadedModel, *, prompted: bool, windows: bool = False) -> TextSetting:
        """All that scores of these texts by a model depend on."""
        return TextSetting(
            model=weights_digest(loaded),
            input=loaded.input,
            windows=windows,
            templates=self.templates,
            neutral=self.neutral,
            prompted=prompted,
        )


def label_texts(
    loaded: LoadedModel,
    labels: Sequence[str],
    *,
    templates: str | Sequence[str] | None = None,
    clean: bool | None = None,
    neutral: Sequence[str] = NEUTRAL_TEXTS,
    truncate: bool = False,
    cache: TextCache | None = None,
) -> LabelTexts:
    """Labels embedded by a model, to be compared with any number of videos.

    `templates` are sentences with `{}` for the label, or the name of a set of them ("raw" is the label alone,
    "kinetics" and "ucf" are CLIP's); several are averaged: normalise, mean, normalise. Unless given, they are
    what the model was trained with: the label alone for published ones. `clean` reads underscores and CamelCase
    as words; unless given, the model's own classes are read as in its training, and other labels as words.
    `neutral` texts stand in the same templates; a video that is closer to one of them than to a label rather
    shows something else. A text that is longer than the model's context is a DataError unless `truncate` cuts it.

    Labels may repeat, which the result tells. `cache` keeps embeddings; unless given, the process does.
    """
    model = text_model(loaded)
    check_labels(labels)
    if isinstance(neutral, str) or not neutral:
        raise ConfigError(f"neutral is {neutral!r}; a list of at least one text is needed, such as 'a video'")
    check_labels(neutral)
    trained = loaded.wording or Wording()
    chosen = trained.templates if templates is None else find_templates(templates)
    as_is = set() if trained.spoken else set(loaded.labels)
    cleaned = [label not in as_is if clean is None else clean for label in labels]
    read = tuple(spoken(label) if words else label for label, words in zip(labels, cleaned, strict=True))
    wording = Wording(templates=chosen)
    tokens = class_tokens([*read, *neutral], wording, loaded.config.text, truncate=truncate)
    embedded = (_TEXTS if cache is None else cache)(model, tokens.flatten(0, 1))
    sentences = wording([*read, *neutral])
    places: dict[str, int] = {}
    first = tuple(places.setdefault(str(row), i) for i, row in enumerate(tokens[: len(read)].tolist()))
    counts = {read[i].lower(): first.count(i) for i in sorted(set(first))}
    return LabelTexts(
        labels=tuple(labels),
        read=read,
        templates=chosen,
        neutral=tuple(neutral),
        sentences=tuple(tuple(group) for group in sentences[: len(read)]),
        repeated={label: count for label, count in counts.items() if count > 1},
        truncated=too_long(sentences, loaded.config.text.context_length) if truncate else (),
        first=first,
        embeddings=class_texts(embedded.unflatten(0, (len(sentences), -1))),
        made_by=fingerprint(model.text),
    )


def text_model(loaded: LoadedModel) -> VideoTextModel:
    """The model, if it compares videos with texts; else a ConfigError."""
    if isinstance(loaded.model, VideoTextModel):
        return loaded.model
    if isinstance(loaded.model, Clip):
        raise ConfigError(
            "this model is CLIP, which compares single images with texts; convert its file once more with "
            "`tubelet convert FILE FOLDER --model clip_b32_mean` (or clip_b16_mean, clip_l14_mean) to average "
            "the frames of a video"
        )
    raise ConfigError(
        f"this model ({type(loaded.model).__name__}) compares no videos with words of yours; an X-CLIP, "
        "ViCLIP or InternVideo does, which `tubelet convert FILE FOLDER` makes from a published file"
    )


def find_templates(templates: str | Sequence[str]) -> tuple[str, ...]:
    """The sentences of a named set, or the given ones."""
    if not isinstance(templates, str):
        return tuple(templates)
    if templates in TEMPLATES:
        return TEMPLATES[templates]
    if "{}" in templates:
        return (templates,)
    raise ConfigError(
        f"templates {templates!r} do not exist; there are {', '.join(TEMPLATES)}, or write a sentence with {{}} "
        "where the label stands"
    )


def too_long(sentences: Sequence[Sequence[str]], context_length: int) -> tuple[str, ...]:
    """The texts that have no room in a context, between a start and an end token."""
    tokenizer = clip_tokenizer()
    return tuple(
        text for group in sentences for text in group if len(tokenizer.encode(text)) + 2 > context_length
    )
