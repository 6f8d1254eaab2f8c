"""Distributions that are installed in a folder, as pip would leave them."""

from pathlib import Path

SAMPLER = """
import torch
from nisbench.api import ChainDraws, ChainSampler
class Sampler(ChainSampler):
    def prepare(self, *, beta, generator):
        self.beta = beta
    def draw(self, n, *, generator):
        L = self.target.L
        return ChainDraws((2 * torch.randint(2, (n, 4, L, L), generator=generator) - 1).to(torch.int8))
"""


def install(folder: Path, name: str, registration: str, **modules: str) -> Path:
    """Writes the distribution `name` with the registration module `<name>_reg` and other modules into `folder`."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[nisbench]\n{name} = {name}_reg\n")
    for module, text in {f"{name}_reg": registration, **modules}.items():
        (folder / f"{module}.py").write_text(text)
    return folder


def registers_sampler(name: str, *, before: str = "", options: str = "", inside: str = "pass") -> str:
    """A registration module: lines `before` the hook, the fields of Options, and a line `inside` the hook."""
    return f"""
{before}
from dataclasses import dataclass, field
from typing import Literal
from nisbench import hookimpl
@dataclass(frozen=True)
class Options:
    {options or "n: int = 1"}
@hookimpl
def register_samplers(register):
    {inside}
    register({name!r}, options=Options, factory="{name}_impl:Sampler", summary="test", citation="A. Author, 2020")
"""
