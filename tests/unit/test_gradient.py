"""When a training step is recorded. That a replay repeats the computed gradient is checked on a device (test_gpu)."""

import contextlib
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from nisbench.contract.interfaces import Model
from nisbench.errors import PluginError
from nisbench.harness.gradient import WARM_UP, StepGradient
from nisbench.physics.ising import Ising
from nisbench_plugins.hier import Hier
from nisbench_plugins.registration import HierOptions


class Recorded:
    """Stands for a recorded step."""

    replays = 0

    def replay(self) -> None:
        self.replays += 1


class OnDevice:
    """A generator that says it is on a device."""

    device = torch.device("cuda")


def model(target: Any = None) -> Model:
    torch.manual_seed(0)
    return Hier(target or Ising(4), HierOptions())


def test_the_gradient_is_that_of_a_training_batch() -> None:
    one, two = model(), model()
    step = StepGradient(one, 8, torch.Generator().manual_seed(1))
    step(0.44)
    step(0.44)  # the first gradient is dropped
    generator = torch.Generator().manual_seed(1)
    two.training_batch(8, beta=0.44, generator=generator)
    two.training_batch(8, beta=0.44, generator=generator).loss().backward()
    assert not step.recorded
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]


@pytest.fixture
def recordings(monkeypatch: pytest.MonkeyPatch) -> list[Recorded]:
    made: list[Recorded] = []
    monkeypatch.setattr(StepGradient, "_record", lambda self: made.append(Recorded()) or made[-1])
    monkeypatch.setattr(StepGradient, "_compute", lambda self: None)
    return made


def test_a_step_is_recorded_after_the_warm_up_and_anew_for_another_beta(recordings: list[Recorded]) -> None:
    step = StepGradient(model(), 8, OnDevice())  # type: ignore[arg-type]
    for beta in [0.1, 0.2, *[0.44] * (WARM_UP + 5), *[0.4] * WARM_UP]:
        step(beta)
    assert [made.replays for made in recordings] == [5]
    assert not step.recorded
    step(0.4)
    assert [made.replays for made in recordings] == [5, 1]
    assert step.recorded


@pytest.mark.parametrize("what", ["model", "target", "cpu"])
def test_a_step_that_may_not_be_recorded_is_computed(what: str, recordings: list[Recorded]) -> None:
    class Foreign:
        """The energy of a stranger's target may copy from the host."""

        def __init__(self) -> None:
            self.ising = Ising(4)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.ising, name)

    found = model(Foreign() if what == "target" else None)
    if what == "model":
        found.capturable = False  # type: ignore[misc]
    step = StepGradient(found, 8, torch.Generator() if what == "cpu" else OnDevice())  # type: ignore[arg-type]
    for _ in range(WARM_UP + 2):
        step(0.44)
    assert not recordings


@pytest.mark.parametrize(
    ("raised", "seen", "words"),
    [
        (
            RuntimeError("stream is capturing"),
            PluginError,
            r"Hier has capturable = True, .* \(stream is capturing\); .* or set capturable = False",
        ),
        (torch.OutOfMemoryError("full"), torch.OutOfMemoryError, "^full$"),
    ],
)
def test_a_step_that_cannot_be_recorded_says_what_to_do(
    raised: Exception, seen: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first error is named, and not that of the end of the recording. Missing memory is no fault of the plugin."""

    @contextlib.contextmanager
    def recording(_: object) -> Iterator[None]:
        try:
            yield
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    def fail(_: StepGradient) -> None:
        raise raised

    graph = SimpleNamespace(register_generator_state=lambda _: None)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: graph)
    monkeypatch.setattr(torch.cuda, "graph", recording)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: "the stream of before")
    selected: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_stream", selected.append)
    monkeypatch.setattr(StepGradient, "_compute", fail)
    with pytest.raises(seen, match=words):
        StepGradient(model(), 8, OnDevice())._record()  # type: ignore[arg-type]
    assert selected == ["the stream of before"]
