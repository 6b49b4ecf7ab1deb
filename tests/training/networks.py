"""Networks that look trained: needs the extra `train`."""

from typing import TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


@torch.no_grad()
def as_trained(network: Network, seed: int = 0) -> Network:
    """The network with norms whose statistics, gains and biases are not those of a new one."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.running_mean, module.bias):
                values.uniform_(-0.2, 0.2, generator=generator)
            for values in (module.running_var, module.weight):
                values.uniform_(0.5, 1.5, generator=generator)
    return network
