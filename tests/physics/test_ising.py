"""The energy of the target against a bond-by-bond sum, its symmetries and its refusals."""

import numpy as np
import pytest
import torch

from nisbench.physics.enumeration import all_spins, ising_energy
from nisbench.physics.ising import Ising


@pytest.mark.parametrize("L", [2, 3, 4])
def test_every_state(L):
    spins = all_spins(L)
    energy = Ising(L).energy(torch.from_numpy(spins))
    assert energy.dtype == torch.float64
    assert np.array_equal(energy.numpy(), ising_energy(spins))


@pytest.mark.parametrize("dtype", [torch.int8, torch.int32, torch.int64, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("L", [2, 5, 16])
def test_types_shapes_and_symmetries(L, dtype):
    generator = torch.Generator().manual_seed(1)
    spins = (2 * torch.randint(0, 2, (3, 4, L, L), generator=generator) - 1).to(dtype)
    target = Ising(L)
    energy = target.energy(spins)
    assert energy.shape == (3, 4)
    assert energy.dtype == torch.float64
    assert np.array_equal(energy.numpy(), ising_energy(spins.to(torch.int8).numpy()))
    for moved in (-spins, spins.roll(1, -1), spins.roll(2, -2), spins.transpose(-1, -2), spins.flip(-1)):
        assert torch.equal(target.energy(moved), energy)


def test_ground_state_and_total():
    target = Ising(128)
    ones = torch.ones(128, 128, dtype=torch.int8)
    assert target.energy(ones).item() == -2 * 128**2
    ones[3, 7] = -1
    assert target.energy(ones).item() == -2 * 128**2 + 8


def test_input_is_left_alone():
    spins = torch.ones(2, 4, 4)
    spins[0, 1, 1] = -1
    before = spins.clone()
    Ising(4).energy(spins)
    assert torch.equal(spins, before)


def test_attributes_and_exact():
    target = Ising(4)
    assert (target.name, target.L, target.n_sites, target.z2) == ("ising", 4, 16, True)
    assert target.exact(0.44)["log_z_per_site"] == pytest.approx(15.5047265387182 / 16, rel=1e-13)


def test_refusals():
    with pytest.raises(ValueError, match="L >= 2"):
        Ising(1)
    with pytest.raises(ValueError, match="4 x 4"):
        Ising(4).energy(torch.ones(3, 5, 5))
    for dtype in (torch.uint8, torch.bool):
        with pytest.raises(ValueError, match="signed"):
            Ising(4).energy(torch.ones(4, 4, dtype=dtype))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_energy_on_the_gpu():
    spins = torch.from_numpy(all_spins(4))
    assert torch.equal(Ising(4).energy(spins.cuda()).cpu(), Ising(4).energy(spins))
