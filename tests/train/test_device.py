import pytest
import torch

from tubelet.errors import BackendError
from tubelet.train import device
from tubelet.train.device import pick_device, speed_up_cpu


def test_a_named_device_is_taken():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in ("cpu", "cuda", "mps")


def test_a_device_that_is_not_here_is_refused():
    with pytest.raises(BackendError, match=r"device 'cuda:99' cannot be used here \(.*\); use cpu"):
        pick_device("cuda:99")
    with pytest.raises(BackendError, match="device 'gpu' is not one torch knows; try cpu, cuda"):
        pick_device("gpu")
    with pytest.raises(BackendError, match="device 'meta' is not one tubelet runs on; use cpu, cuda or mps"):
        pick_device("meta")


@pytest.mark.parametrize(
    ("flags", "faster"),
    [
        (("AuthenticAMD", "avx2"), True),
        (("AuthenticAMD", "amx_bf16"), False),
        (("GenuineIntel",), False),
        ((), False),
    ],
)
def test_only_processors_that_gain_are_switched(
    flags: tuple[str, ...], faster: bool, monkeypatch: pytest.MonkeyPatch
):
    setting = torch.backends.mkldnn.matmul  # pyright: ignore[reportAttributeAccessIssue]
    before = setting.fp32_precision
    monkeypatch.setattr(device, "cpu_flags", lambda: frozenset(flags))
    try:
        assert speed_up_cpu() == faster
        assert setting.fp32_precision == ("bf16" if faster else before)
    finally:
        setting.fp32_precision = before
