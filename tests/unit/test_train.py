"""The training loop: schedules, a resume that repeats the same numbers, divergence as an error."""

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch

from nisbench.contract.interfaces import TrainingBatch
from nisbench.contract.records import Budget, TrainingOptions
from nisbench.errors import StoreError
from nisbench.harness.cell_files import CellFiles
from nisbench.harness.clock import Clock
from nisbench.harness.train import Diverged, Training, annealed_beta, learning_rate, train
from nisbench.harness.weights import load_weights, read_tensors, save_weights, write_tensors
from nisbench.physics.ising import Ising
from nisbench.physics.kaufman import log_z
from nisbench_plugins.hier import Hier
from nisbench_plugins.registration import HierOptions

BETA, L = 0.44, 4


def build(options: HierOptions, cls: type[Hier] = Hier) -> Hier:
    torch.manual_seed(0)
    return cls(Ising(L), options)


def run(
    model: Hier, options: TrainingOptions, budget: Budget, folder: Path, every_s: float = 15.0, **source: Any
) -> Training:
    folder.mkdir(exist_ok=True)
    return train(
        model,
        beta=BETA,
        budget=budget,
        options=options,
        seeds=lambda role: int.from_bytes(sha256(role.encode()).digest()[:7], "big"),
        files=CellFiles(folder),
        clock=Clock(torch.device("cpu")),
        exact_log_z=log_z(L, BETA),
        checkpoint_every_s=every_s,
        **source,
    )


def history(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def test_training_lowers_the_divergence_and_the_bound_holds(tmp_path: Path) -> None:
    options = HierOptions(batch_size=256, learning_rate=1e-2)
    result = run(build(options), options, Budget(steps=400), tmp_path)
    lines = history(tmp_path)
    assert result.steps == 400
    assert lines[-1]["step"] == 400
    assert [line["step"] for line in lines] == sorted({line["step"] for line in lines})
    assert lines[-1]["kl_nats"] < 0.1 * lines[0]["kl_nats"]
    assert lines[-1]["ess_fraction"] > 0.9
    assert lines[-1]["free_energy_variational"] > -log_z(L, BETA) / (BETA * L * L) - 1e-3


def test_a_killed_training_continues_with_the_same_numbers(tmp_path: Path) -> None:
    options = HierOptions(batch_size=64, clip_norm=1.0)
    whole = build(options)
    assert not run(whole, options, Budget(steps=30), tmp_path / "whole", every_s=0).resumed

    class Killed(Hier):
        calls = 0

        def training_batch(self, n: int, *, beta: float, generator: torch.Generator) -> TrainingBatch:
            self.calls += 1
            if self.calls > 17:
                raise KeyboardInterrupt
            return super().training_batch(n, beta=beta, generator=generator)

    with pytest.raises(KeyboardInterrupt):
        run(build(options, Killed), options, Budget(steps=30), tmp_path / "killed", every_s=0)
    resumed = build(options)
    result = run(resumed, options, Budget(steps=30), tmp_path / "killed", every_s=0)
    assert result.steps == 30
    assert result.resumed
    for a, b in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(a, b)
    for a_line, b_line in zip(history(tmp_path / "whole"), history(tmp_path / "killed"), strict=True):
        assert {**a_line, "seconds": 0} == {**b_line, "seconds": 0}


def test_a_checkpoint_that_does_not_fit_is_named(tmp_path: Path) -> None:
    options = HierOptions(batch_size=16)
    run(build(options), options, Budget(steps=2), tmp_path)
    options = HierOptions(batch_size=16, width=2)
    with pytest.raises(StoreError, match=r"does not fit this model .*; delete it to train anew"):
        run(build(options), options, Budget(steps=3), tmp_path)


def _claim_more_steps(path: Path) -> None:
    tensors, facts = read_tensors(path, "cpu", advice="")
    write_tensors(path, tensors, {**facts, "step": "1200", "seconds": "-998.7"})


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path: path.write_bytes(b""),
    "zeros": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit": lambda path: path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1])),
    "claims": _claim_more_steps,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    options = HierOptions(batch_size=16, annealing="none", schedule="constant")  # steps do not depend on the budget
    whole = build(options)
    run(whole, options, Budget(steps=4), tmp_path / "whole")
    run(build(options), options, Budget(steps=3), tmp_path, every_s=0)  # leaves the checkpoints of steps 2 and 3
    damage(tmp_path / "checkpoint.safetensors")
    again = build(options)
    trained = run(again, options, Budget(steps=4), tmp_path)
    assert trained.note == "damaged: checkpoint.safetensors; the training continued from step 2"
    assert trained.steps == 4
    assert trained.seconds > 0
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), again.parameters(), strict=True))
    (tmp_path / "checkpoint.earlier.safetensors").unlink()
    damage(tmp_path / "checkpoint.safetensors")
    trained = run(build(options), options, Budget(steps=1), tmp_path)
    assert trained.note is not None
    assert trained.note.endswith("the training started anew")


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    options = HierOptions(batch_size=64)
    run(build(options), options, Budget(steps=5), tmp_path)
    before = history(tmp_path)
    assert run(build(options), options, Budget(steps=5), tmp_path).steps == 5
    assert history(tmp_path) == before


def test_budget_zero_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    options = HierOptions()
    model = build(options)
    before = [p.clone() for p in model.parameters()]
    assert run(model, options, Budget(steps=0), tmp_path) == Training(0, 0.0, 0, resumed=False)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_budget_in_seconds_ends_soon_after_it(tmp_path: Path) -> None:
    options = HierOptions(batch_size=32)
    result = run(build(options), options, Budget(seconds=0.3), tmp_path)
    assert result.seconds >= 0.3
    assert history(tmp_path)[-1]["step"] == result.steps


def test_a_loss_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    class Broken(Hier):
        def training_batch(self, n: int, *, beta: float, generator: torch.Generator) -> TrainingBatch:
            batch = super().training_batch(n, beta=beta, generator=generator)
            return TrainingBatch(batch.log_prob * float("nan"), batch.signal)

    options = HierOptions(batch_size=16)
    with pytest.raises(Diverged, match="step 1"):
        run(build(options, Broken), options, Budget(steps=3), tmp_path)


def test_annealing_and_learning_rate_follow_the_fraction_of_the_budget() -> None:
    linear = TrainingOptions(annealing="linear", annealing_start=0.2, annealing_fraction=0.5)
    assert annealed_beta(linear, 0.5, 0.0, 0) == pytest.approx(0.1)
    assert annealed_beta(linear, 0.5, 0.25, 9) == pytest.approx(0.3)
    assert annealed_beta(linear, 0.5, 0.5, 9) == annealed_beta(linear, 0.5, 1.0, 9) == 0.5
    assert annealed_beta(TrainingOptions(annealing="none"), 0.5, 0.0, 0) == 0.5
    stepwise = TrainingOptions(annealing="stepwise", annealing_rate=0.998)
    assert annealed_beta(stepwise, 0.44, 0.9, 99) == pytest.approx(0.44 * (1 - 0.998**100))
    cosine = TrainingOptions(learning_rate=1e-2, schedule="cosine", warmup_fraction=0.1)
    assert learning_rate(cosine, 0.1) == pytest.approx(1e-2)
    assert learning_rate(cosine, 0.55) == pytest.approx(5e-3)
    assert learning_rate(cosine, 1.0) == pytest.approx(0, abs=1e-12)
    assert 0 < learning_rate(cosine, 0.0) < learning_rate(cosine, 0.05) < 1e-2
    assert learning_rate(TrainingOptions(learning_rate=2.0, schedule="constant"), 0.7) == 2.0


def test_a_checkpoint_never_holds_what_is_no_number(tmp_path: Path) -> None:
    class Broken(Hier):
        def training_batch(self, n: int, *, beta: float, generator: torch.Generator) -> TrainingBatch:
            batch = super().training_batch(n, beta=beta, generator=generator)
            self.calls = getattr(self, "calls", 0) + 1
            return batch if self.calls != 4 else TrainingBatch(batch.log_prob * float("inf"), batch.signal)

    options = HierOptions(batch_size=16)
    with pytest.raises(Diverged, match="step 4"):  # steps 1, 2 and 3 are evaluated, so is 4
        run(build(options, Broken), options, Budget(steps=9), tmp_path, every_s=0)
    resumed = build(options)
    run(resumed, options, Budget(steps=3), tmp_path)
    assert all(bool(torch.isfinite(p).all()) for p in resumed.parameters())


def test_a_checkpoint_of_another_source_is_not_continued(tmp_path: Path) -> None:
    options = HierOptions(batch_size=32)

    def resumed(source: str, *, keep: bool = False) -> bool:
        trained = run(build(options), options, Budget(steps=4), tmp_path, source=source, keep=keep)
        assert trained.steps == 4
        return trained.resumed

    assert not resumed("first")
    assert resumed("first")
    assert resumed("second", keep=True)
    assert not resumed("second")
    assert resumed("second")
    assert [line["step"] for line in history(tmp_path)] == [1, 2, 3, 4]


def test_tied_weights_are_saved_and_read(tmp_path: Path) -> None:
    tied = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save_weights(tied, tmp_path / "weights.safetensors")
    other = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.Linear(3, 3))
    other[1].weight = other[0].weight
    load_weights(other, tmp_path / "weights.safetensors")
    for one, two in zip(tied.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    with pytest.raises(StoreError, match="does not fit this model"):
        load_weights(torch.nn.Linear(2, 2), tmp_path / "weights.safetensors")
