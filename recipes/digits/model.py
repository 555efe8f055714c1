"""The PyTorch network: two convolutions, two layers. ``predict.forward`` is the same in numpy."""

from __future__ import annotations

from pathlib import Path

import torch

from recipes.digits import predict
from recipes.digits.recipe import SIDE

CHANNELS, HIDDEN = (16, 32), 64


class DigitNet(torch.nn.Module):
    """(n, 64) pixels -> (n,) log-odds of an odd digit."""

    def __init__(self) -> None:
        super().__init__()
        first, second = CHANNELS
        self.conv1 = torch.nn.Conv2d(1, first, 3, padding=1)
        self.conv2 = torch.nn.Conv2d(first, second, 3, padding=1)
        self.dense = torch.nn.Linear(second * (SIDE // 2) ** 2, HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, 1)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        images = pixels.reshape(-1, 1, SIDE, SIDE) / predict.INK
        seen = torch.nn.functional.max_pool2d(torch.relu(self.conv1(images)), 2)
        seen = torch.relu(self.conv2(seen)).flatten(1)
        return self.out(torch.relu(self.dense(seen))).squeeze(1)


def build(seed: int) -> DigitNet:
    """A network with fresh weights; the same seed gives the same weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DigitNet()


def save(net: DigitNet, features: tuple[str, ...], out_dir: str | Path) -> str:
    """Write the weights, with the features' names in the file's header; their digest."""
    from safetensors.torch import save_file

    Path(out_dir).mkdir(parents=True, exist_ok=True)
    weights = {name: p.detach().cpu().contiguous() for name, p in net.named_parameters()}
    save_file(weights, Path(out_dir) / predict.MODEL_FILE, {predict.NAMES: " ".join(features)})
    return predict.digest_of(out_dir)
