"""A model whose weights are the mapped file: there once, and safe whatever happens to either."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tests.weights.test_convert import CLASSIFIER, checkpoint
from tubelet.train.ema import Ema
from tubelet.weights.files import read_checkpoint, save_checkpoint


def same(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_a_built_model_uses_the_file_as_it_is(tmp_path: Path):
    original = checkpoint(CLASSIFIER)
    save_checkpoint(tmp_path, original)
    read = read_checkpoint(tmp_path)
    model = read.build()
    parameters = dict(model.state_dict(keep_vars=True))
    shared = [key for key, tensor in read.state.items() if parameters[key].data_ptr() == tensor.data_ptr()]
    assert len(shared) > 0.9 * len(parameters)
    assert all(tensor.data_ptr() % 64 == 0 for tensor in parameters.values())
    assert all(tensor.requires_grad for tensor in model.parameters())
    assert not any(tensor.is_meta for tensor in (*model.parameters(), *model.buffers()))


def test_what_is_done_to_a_model_leaves_its_file_alone(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER))
    file = tmp_path / "model.safetensors"
    before = file.read_bytes()
    model = read_checkpoint(tmp_path).build()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    average = Ema(model, 0.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert same(average.model.state_dict(), start)
    average.update(model)
    model.half()
    assert file.read_bytes() == before


def test_a_loaded_model_outlives_the_file_that_it_was_loaded_from(tmp_path: Path):
    save_checkpoint(tmp_path, checkpoint(CLASSIFIER))
    read = read_checkpoint(tmp_path)
    model = read.build()
    start = {key: value.clone() for key, value in model.state_dict().items()}
    # Written under the mapped file itself, this would end the process.
    save_checkpoint(tmp_path, replace(read, state=dict(model.state_dict())))
    assert same(model.state_dict(), start)
    assert same(read_checkpoint(tmp_path).state, start)
    shutil.rmtree(tmp_path)
    assert same(model.state_dict(), start)
