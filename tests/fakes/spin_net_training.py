"""The training that the page on foreign code takes as given: plain torch, without nisbench."""

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import logsigmoid

__all__ = ["publish"]


def publish(net_class: type, path: Path, *, beta: float, steps: int = 250) -> None:
    """Writes the weights of a SpinNet that was trained on the Ising model with periodic boundaries."""
    source = torch.Generator().manual_seed(1)
    start = {name: 0.05 * torch.randn(36 * 36, generator=source).numpy() for name in ("W1", "W2")}
    np.savez(path, **start, b1=np.zeros(36, np.float32), b2=np.zeros(36, np.float32))
    net = net_class(path)
    net.weights = [weight.requires_grad_() for weight in net.weights]
    optimizer = torch.optim.Adam(net.weights, lr=0.01)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for step in range(steps):
            with torch.no_grad():
                bits = net.generate(256)
            log_q = logsigmoid((2 * bits - 1) * net.logits(bits)).sum(1)
            spins = (2 * bits - 1).view(-1, 6, 6)
            energy = -(spins * (spins.roll(1, 1) + spins.roll(1, 2))).sum((1, 2))
            signal = (log_q + min(1.0, 2 * step / steps) * beta * energy).detach()
            optimizer.zero_grad()
            ((signal - signal.mean()) * log_q).mean().backward()
            optimizer.step()
    arrays = (weight.detach().numpy() for weight in net.weights)
    np.savez(path, **dict(zip(("W1", "b1", "W2", "b2"), arrays, strict=True)))
