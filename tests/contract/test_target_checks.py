"""`nisbench check TARGET`: every target of the core passes, and each check refuses a target that breaks its clause."""

import numpy as np
import pytest
from fakes import targets

from nisbench.conformance import targets as checks
from nisbench.conformance.checks import run_checks
from nisbench.conformance.subject import Violation
from nisbench.conformance.targets import TARGET_CHECKS, TargetSubject, builds
from nisbench.contract.catalog import TargetEntry, load_catalog
from nisbench.errors import InvalidValue, UnknownName
from nisbench.physics.options import IsingOptions

CATALOG = load_catalog(names=())


def subject(faulty, **options):
    entry = TargetEntry("ising", f"{faulty.__module__}:{faulty.__name__}", options=IsingOptions)
    return TargetSubject(entry, entry.fill(options))


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ising", {}),
        ("ising", {"boundary": "free"}),
        ("ising", {"field": 0.3}),
        ("edwards-anderson", {"disorder": "gaussian", "instance": 3}),
        ("edwards-anderson", {"boundary": "torus"}),
        ("villain", {}),
        ("villain", {"boundary": "torus"}),
    ],
)
def test_targets_of_the_core_pass(name, options):
    results = list(run_checks(name, CATALOG, "cpu", {name: options}))
    assert {r.name: r.message for r in results if not r.passed} == {}
    assert len(results) == 1 + len(TARGET_CHECKS)


def test_a_file_of_couplings_passes(tmp_path):
    np.savez(tmp_path / "j.npz", right=np.full((4, 4), 0.5), down=np.ones((4, 4)), field=np.full((4, 4), 0.1))
    options = {"file": str(tmp_path / "j.npz"), "boundary": "torus"}
    results = list(run_checks("couplings", CATALOG, "cpu", {"couplings": options}))
    assert {r.name: r.message for r in results if not r.passed} == {}
    assert "Refused: [2, 3, 8]" in results[0].message


@pytest.mark.parametrize(
    ("faulty", "check", "finding"),
    [
        (targets.OtherName, builds, "expected"),
        (targets.NumberForZ2, builds, "z2 = 1 is not True or False"),
        (targets.RefusesAll, builds, "refuses every extent: not today"),
        (targets.WrongBonds, checks.energy_of_bonds, "differs by"),
        (targets.SinglePrecision, checks.shape_and_type, "float32"),
        (targets.MeanOfBatch, checks.shape_and_type, "energy of one configuration differs"),
        (targets.Counts, checks.repeats, "another call or instance"),
        (targets.FlipsItsInput, checks.repeats, "changes the spins"),
        (targets.GlobalGenerator, checks.no_global_state, "torch's generator"),
        (targets.OtherDevice, checks.same_device, "on meta"),
        (targets.DeniesSymmetry, checks.symmetry, "z2 = False at L = 2"),
        (targets.WrongExact, checks.exact, "energy = "),
        (targets.UnknownExact, checks.exact, "unknown name 'log_z'"),
        (targets.AnyExtent, checks.only_spins, "spins of 3 x 3 have an energy on the 2 x 2 lattice"),
        (targets.UndocumentedZeros, checks.only_spins, "spins of 0 have an energy"),
    ],
)
def test_each_check_refuses_what_breaks_its_clause(faulty, check, finding):
    with pytest.raises(Violation, match=finding):
        check(subject(faulty))


def test_a_symmetry_that_is_not_there_is_seen():
    class_ = type("ClaimsSymmetry", (targets.Ising,), {"__init__": _claims_symmetry})
    with pytest.raises(Violation, match="z2 = True at L = 2"):
        checks.symmetry(TargetSubject(_Entry(class_), {"field": 0.1}))


def _claims_symmetry(self, L, options):
    targets.Ising.__init__(self, L, options)
    self.z2 = True


class _Entry:
    """An entry whose class is given, not imported."""

    options = IsingOptions

    def __init__(self, factory):
        self.load = lambda: factory


def test_every_check_has_a_negative_control():
    controlled = {case[1] for case in test_each_check_refuses_what_breaks_its_clause.pytestmark[0].args[1]}
    assert controlled == {builds, *TARGET_CHECKS}


def test_options_are_for_the_checked_target():
    with pytest.raises(InvalidValue, match="only options of ising, which is checked"):
        run_checks("ising", CATALOG, "cpu", {"villain": {}})
    with pytest.raises(UnknownName, match="no option of ising 'feld'"):
        run_checks("ising", CATALOG, "cpu", {"ising": {"feld": "1"}})
    with pytest.raises(UnknownName, match="no plugin or target 'isin'"):
        run_checks("isin", CATALOG)
