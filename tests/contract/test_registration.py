"""Registration modules of other distributions, installed in a folder: what they may do, and what costs them only."""

import io
import os
import sys
import warnings

import numpy as np
import pytest
import torch
from fakes.distributions import install, registers_sampler

from nisbench.contract.catalog import load_catalog
from nisbench.contract.listing import details, entry_of, record
from nisbench.contract.options import changed_options
from nisbench.errors import InvalidValue, PluginError, UnknownName
from nisbench.harness.store import Store

BUILTINS = {"van", "hier", "hier-exact", "wolff"}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs one distribution and returns the catalog."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def catalog(name, registration, **given):
        install(tmp_path, name, registration)
        return load_catalog(**given)

    yield catalog
    for module in set(sys.modules) - before:
        if module.endswith("_reg"):
            del sys.modules[module]


def test_a_distribution_with_everything_in_order_is_registered(installed):
    entry = installed("good", registers_sampler("good")).plugin("good")
    assert (entry.distribution, entry.version, entry.citation) == ("good", "1.0", "A. Author, 2020")
    assert entry.fill({"n": "3"}) == {"n": 3}


@pytest.mark.parametrize("name", ["a,b", "=1+1", "", "-x", "a b", "a/b", "a\n"])
def test_names_that_no_command_or_table_can_hold_are_refused(installed, name):
    (broken,) = installed("named", registers_sampler(name).replace(f"{name}_impl:Sampler", "x:Y")).broken
    assert broken.broken == (
        f"PluginError: the name {name!r} is not allowed; use letters, digits, '.', '_' and '-', first no mark"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ("x: float = float('inf')", "default of option bad.x = inf is not a finite number"),
        ("x: float = float('nan')", "default of option bad.x = nan is not a finite number"),
        ("x: int = 2**63", "default of option bad.x = 9223372036854775808 is too large"),
        ("x: int = 1.5", "default of option bad.x = 1.5 is not a whole number"),
        ("x: Literal['a', 'b'] = 'c'", "default of option bad.x = 'c': choose one of a, b"),
        ("x: int = field(default=1, init=False)", "option bad.x has init=False, so no plan can set it"),
        (
            "x: int = field(default=1, metadata={'defaults': {'2': {'y': 3}}})",
            "option bad.x = 2 has a default for 'y', which is not an option",
        ),
        (
            "x: int = field(default=1, metadata={'defaults': {'2': {'x': 1.5}}})",
            "default of option bad.x = 1.5 is not a whole number",
        ),
        (
            "x: int = field(default=1, metadata={'defaults': {'a': {}}})",
            "default of option bad.x = 'a' is not a whole number",
        ),
    ],
)
def test_options_that_would_fail_later_are_refused_at_once(installed, options, reason):
    catalog = installed("bad", registers_sampler("bad", options=options))
    assert [entry.name for entry in catalog.broken] == ["bad"]
    assert reason in catalog.broken[0].broken
    assert set(catalog.plugins) >= BUILTINS


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_chains": 2**63}, "wolff.n_chains = 9223372036854775808 is too large"),
        ({"n_chains": str(10**400)}, "wolff.n_chains = "),
        ({"burn_in_sweeps": "1e300"}, "wolff.burn_in_sweeps = '1e300' is too large"),
        ({"burn_in_sweeps": 10**400}, "wolff.burn_in_sweeps = "),
        ({"burn_in_sweeps": 1e10}, "burn_in_sweeps = 10000000000.0: give a number from 0 to 1e9"),
    ],
)
def test_numbers_beyond_64_bits_are_refused_with_the_name_of_the_option(given, message):
    with pytest.raises(InvalidValue) as caught:
        load_catalog().plugin("wolff").fill(given)
    assert message in str(caught.value)
    assert load_catalog().plugin("wolff").fill({"n_chains": 2**63 - 1})["n_chains"] == 2**63 - 1


def test_a_choice_brings_its_own_defaults_for_other_options(installed, tmp_path):
    options = (
        "net: Literal['a', 'b'] = field(default='a', metadata={'defaults': {'b': {'rate': 0.5}}}); rate: float = 1.0"
    )
    entry = installed("choice", registers_sampler("choice", options=options)).plugin("choice")
    for one in (entry, entry_of(record(entry))):  # the second is known from the other environment's listing only
        assert one.fill({}) == {"net": "a", "rate": 1.0}
        assert one.fill({"net": "b"}) == {"net": "b", "rate": 0.5}
        assert one.fill({"net": "b", "rate": "2"}) == {"net": "b", "rate": 2.0}
        assert changed_options(one.options, {"net": "b", "rate": 0.5}) == {"net": "b"}
        assert changed_options(one.options, {"net": "b", "rate": 1.0}) == {"net": "b", "rate": 1.0}
    assert "      defaults with net=b: rate=0.5" in list(details(entry))


@pytest.mark.parametrize(
    ("raised", "reason"),
    [
        ("class Panic(BaseException): pass\nraise Panic('first\\nsecond')", "Panic: first"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("raise ValueError('\\x1b[31mred')", "ValueError:  [31mred"),
    ],
)
def test_an_exception_of_any_kind_costs_its_own_registration_only(installed, raised, reason):
    catalog = installed("panics", raised)
    assert [(entry.name, entry.broken) for entry in catalog.broken] == [("panics", reason)]
    assert set(catalog.plugins) >= BUILTINS
    with pytest.raises(PluginError, match="plugin 'panics' is broken"):
        catalog.plugin("panics")


@pytest.mark.parametrize(
    "change",
    [
        "import sys; sys.stdout.close(); sys.stderr.close()",
        "import sys; sys.stdout = sys.stderr = None",
        "import io, sys; sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8'); sys.stdout.close()",
    ],
)
def test_standard_streams_are_restored_and_open(installed, change, capsys):
    before = sys.stdout, sys.stderr
    assert not installed("streams", registers_sampler("streams", before=change)).broken
    assert (sys.stdout, sys.stderr) == before
    sys.stdout.write("still there")
    sys.stderr.write("here too")
    assert capsys.readouterr() == ("still there", "here too")


def test_a_stream_that_a_registration_keeps_writes_to_standard_error(installed, capsys):
    kept = "import sys; kept = sys.stdout; print('hear me')"
    assert not installed("kept", registers_sampler("kept", before=kept)).broken
    sys.modules["kept_reg"].kept.write("äh\n")
    assert capsys.readouterr() == ("", "hear me\näh\n")
    assert isinstance(sys.modules["kept_reg"].kept, io.TextIOWrapper)


def test_settings_of_the_process_are_restored(installed, tmp_path):
    lines = [
        "import os, warnings, numpy, torch",
        'numpy.seterr(all="raise")',
        "torch.set_default_dtype(torch.float64)",
        "warnings.simplefilter('always')",
        "os.environ['OMP_NUM_THREADS'] = '77'; os.environ.pop('PATH')",
        "os.chdir('/')",
    ]

    def state():
        filters, environment = list(warnings.filters), dict(os.environ)
        return np.geterr(), torch.get_default_dtype(), filters, environment, os.getcwd()

    before = state()
    catalog = installed("settings", registers_sampler("settings", before="\n".join(lines), inside=lines[1]))
    assert not catalog.broken
    assert state() == before


def test_settings_are_restored_after_an_exception(installed):
    before = np.geterr(), os.getcwd()
    assert installed("half", 'import numpy, os; numpy.seterr(all="raise"); os.chdir("/"); raise OSError').broken
    assert (np.geterr(), os.getcwd()) == before


def test_a_worker_of_built_ins_loads_no_other_registration(installed):
    catalog = installed("foreign", registers_sampler("foreign"), names=("wolff", "ising"))
    assert "foreign_reg" not in sys.modules
    assert "foreign" not in catalog.plugins
    assert "foreign" in load_catalog(names=("foreign", "ising")).plugins


def test_one_name_for_a_plugin_and_a_target_is_refused(installed):
    catalog = installed("twice", registers_sampler("ising").replace("ising_impl:Sampler", "x:Y"))
    assert catalog.broken[0].broken == "PluginError: 'ising' is registered already"
    assert catalog.entry("ising").version == catalog.plugin("wolff").version
    with pytest.raises(UnknownName, match="no plugin or target 'isin'; did you mean 'ising'"):
        catalog.entry("isin")


def test_a_hostile_registration_changes_no_cell_of_built_ins(nisbench_with, tmp_path):
    """The command with a distribution that breaks the process in every way at once."""
    hostile = "import io, numpy, sys; numpy.seterr(all='raise')\n"
    hostile += "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8'); sys.stderr.close()\n"
    hostile += "class Panic(BaseException): pass\nraise Panic('boom')"
    install(tmp_path / "site", "aaa", hostile)
    arguments = ["--plugins", "wolff,hier", "--sizes", "4", "--draws", "2000", "--train-steps", "3", "--no-report"]
    code, _, err = nisbench_with(tmp_path / "site", "run", *arguments, "--reference", "none", "--out", "r")
    assert code == 0, err
    store = Store.open(tmp_path / "r")
    assert len(store.cells()) == 2
    reasons = [store.state(cell.cell_id).describe() for cell in store.cells()]
    assert not [reason for reason in reasons if "failed" in reason], reasons
    listed = nisbench_with(tmp_path / "site", "plugins")[1]
    assert "broken: Panic: boom" in listed
    assert "wolff" in listed
