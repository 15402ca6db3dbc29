"""Embeddings of texts are kept as long as they are true, and no longer."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.inference.words import XCLIP_TINY
from tubelet.errors import DataError
from tubelet.models import text_cache
from tubelet.models.text_cache import TextCache, bit_sum, digest, embedded, fingerprint
from tubelet.models.xclip import XCLIP
from tubelet.text.tokenizer import ClipTokenizer

CHANGES: dict[str, Callable[[Tensor], object]] = {
    "in place": lambda weight: weight.detach().mul_(1.1),
    "around the count of changes": lambda weight: weight.data.mul_(1.1),
    "signs": lambda weight: weight.data.neg_(),
    "one element": lambda weight: weight.data.view(-1)[3].add_(1e-6),
    "the order of rows": lambda weight: weight.data.copy_(weight.data.flip(0)),
    "the order of columns": lambda weight: weight.data.copy_(weight.data.flip(-1)),
    "all to zero": lambda weight: weight.data.zero_(),
}


@pytest.fixture
def model() -> XCLIP:
    torch.manual_seed(0)
    return XCLIP(XCLIP_TINY).eval()


def counted(model: XCLIP, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows by the number of texts whenever some are embedded."""
    embed, calls = model.text_features, []
    monkeypatch.setattr(model, "text_features", lambda tokens: (calls.append(len(tokens)), embed(tokens))[1])
    return calls


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("part", ["embed.token.weight", "blocks.0.mlp.fc1.weight", "proj.weight"])
def test_changed_weights_are_noticed_however_they_were_changed(
    change: Callable[[Tensor], object], part: str, model: XCLIP
):
    before = fingerprint(model.text)
    assert fingerprint(model.text) == before
    change(model.text.get_parameter(part))
    assert fingerprint(model.text) != before


def test_bits_of_any_type_and_length_count():
    for tensor in (
        torch.zeros(3),
        torch.zeros(2),
        torch.zeros(()),
        torch.zeros(5, dtype=torch.bfloat16),
        torch.ones(9)[1:],
    ):
        before = bit_sum(tensor).clone()
        tensor.view(-1)[-1] += 1
        assert bit_sum(tensor) != before
    assert bit_sum(torch.zeros(0)) == 0


def test_constant_weights_with_other_signs_are_other_weights():
    norm = nn.LayerNorm(8)
    before = fingerprint(norm)
    norm.weight.data.neg_()
    assert fingerprint(norm) != before


def test_texts_are_embedded_once_per_weights_and_tokens(model: XCLIP, monkeypatch: pytest.MonkeyPatch):
    calls, cache, tokenizer = counted(model, monkeypatch), TextCache(), ClipTokenizer()
    some, others = tokenizer(["run", "jump"], 16), tokenizer(["jump", "run"], 16)
    first = cache(model, some)
    assert torch.equal(cache(model, some), first)
    torch.testing.assert_close(cache(model, others), first.flip(0))
    assert calls == [2, 2]
    model.text.proj.weight.data.mul_(2)
    torch.testing.assert_close(cache(model, some), 2 * first)
    assert calls == [2, 2, 2]


def test_only_the_latest_sets_are_kept(model: XCLIP, monkeypatch: pytest.MonkeyPatch):
    calls, cache, tokenizer = counted(model, monkeypatch), TextCache(most=2), ClipTokenizer()
    for word in ("one", "two", "three", "three", "two", "one"):
        cache(model, tokenizer([word], 16))
    assert len(calls) == 4


def test_many_texts_come_back_in_their_order(model: XCLIP):
    texts = ["a man " + "very " * (i % 9) + f"{i}" for i in range(300)]
    tokens = ClipTokenizer()(texts, 16)
    torch.testing.assert_close(
        embedded(model, tokens), model.text_features(tokens).detach(), rtol=1e-4, atol=1e-5
    )


def test_a_folder_outlives_the_process_and_damage(
    model: XCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls, tokens = counted(model, monkeypatch), ClipTokenizer()(["run"], 16)
    first = TextCache(tmp_path)(model, tokens)
    assert torch.equal(TextCache(tmp_path)(model, tokens), first)
    assert calls == [1]
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert torch.equal(TextCache(tmp_path)(model, tokens), first)
    assert calls == [1, 1]
    model.text.norm.weight.data.mul_(2)
    TextCache(tmp_path)(model, tokens)
    assert calls == [1, 1, 1]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_digest_is_of_weights_tokens_and_settings(model: XCLIP):
    tokens = ClipTokenizer()(["run"], 16)
    before = digest(model.text, tokens)
    assert digest(model.text, tokens) == before
    assert digest(model.text, ClipTokenizer()(["runs"], 16)) != before
    model.text.norm.bias.data[0] += 1
    assert digest(model.text, tokens) != before


def test_mixed_precision_around_it_does_not_reach_the_cache(model: XCLIP):
    tokens = ClipTokenizer()(["run"], 16)
    with torch.autocast("cpu", torch.bfloat16):
        kept = TextCache()(model, tokens)
    assert torch.equal(kept, embedded(model, tokens))


def test_nobody_spoils_what_others_will_get(model: XCLIP):
    cache, tokens = TextCache(), ClipTokenizer()(["run"], 16)
    first = cache(model, tokens)
    kept = first.clone()
    first.zero_()
    assert torch.equal(cache(model, tokens), kept)


def test_texts_embedded_in_inference_mode_can_be_trained_with(model: XCLIP):
    cache, tokens = TextCache(), ClipTokenizer()(["run", "jump"], 16)
    with torch.inference_mode():
        cache(model, tokens)
    model(torch.randn(1, 3, 4, 32, 32), cache(model, tokens)).sum().backward()


@pytest.mark.parametrize(
    "spoil",
    [
        lambda texts: texts[:1].clone(),
        lambda texts: texts[:, :-1].clone(),
        lambda texts: texts.double(),
        lambda texts: torch.full_like(texts, torch.nan),
    ],
    ids=["fewer texts", "fewer dimensions", "another type", "no numbers"],
)
def test_a_file_with_other_embeddings_is_not_believed(
    spoil: Callable[[Tensor], Tensor], model: XCLIP, tmp_path: Path
):
    tokens = ClipTokenizer()(["run", "jump"], 16)
    first = TextCache(tmp_path)(model, tokens)
    (file,) = tmp_path.iterdir()
    save_file({"texts": spoil(first)}, file)
    assert torch.equal(TextCache(tmp_path)(model, tokens), first)


def test_a_folder_that_takes_no_files_is_an_error_that_names_it(
    model: XCLIP, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    tokens = ClipTokenizer()(["run"], 16)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be kept in .*file/folder \("):
        TextCache(tmp_path / "file" / "folder")(model, tokens)

    def full(tensors: dict[str, Tensor], path: Path) -> None:
        path.write_text("half")
        raise SafetensorError("no space left")

    monkeypatch.setattr(text_cache, "save_file", full)
    with pytest.raises(DataError, match=r"cannot be kept in .*full \(no space left\)"):
        TextCache(tmp_path / "full")(model, tokens)
    assert not list((tmp_path / "full").iterdir())


def test_threads_share_a_folder_and_a_cache(model: XCLIP, tmp_path: Path):
    tokens = [ClipTokenizer()([word], 16) for word in ("run", "jump", "hop")] * 8
    cache = TextCache(tmp_path, most=1)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda each: cache(model, each), tokens))
    for each, texts in zip(tokens, found, strict=True):
        assert torch.equal(texts, embedded(model, each))
    assert len(list(tmp_path.iterdir())) == 3
