"""A class that does not fit its registration is refused with one line that names the base class or the hook."""

import pytest
from fakes import densities, models, samplers, weighted

from nisbench.api import Model
from nisbench.contract.catalog import Entry
from nisbench.contract.checks import kind_of
from nisbench.contract.interfaces import Sampler
from nisbench.errors import PluginError


class Direct(Sampler):
    def prepare(self, *, beta, generator):
        pass


class OwnTraining(Model):
    def fit(self, *, beta, generator, budget, report):
        pass


def entry(plugin: type, kind: str, *, trains: bool = False) -> Entry:
    return Entry("mine", kind, "tests", "0", factory=f"{plugin.__module__}:{plugin.__name__}", trains=trains)


@pytest.mark.parametrize(
    ("plugin", "kind", "trains"),
    [
        (models.Rows, "model", False),
        (densities.OpenRows, "density", False),
        (densities.FittedRows, "density", True),
        (samplers.HeatBath, "sampler", False),
        (samplers.FittedHeatBath, "sampler", True),
        (weighted.Weighted, "sampler", False),
    ],
)
def test_a_class_that_fits_is_loaded(plugin, kind, trains):
    assert entry(plugin, kind, trains=trains).load() is plugin
    assert kind_of(plugin) == kind


@pytest.mark.parametrize(
    ("plugin", "kind", "trains", "message"),
    [
        (Direct, "sampler", False, "inherits Sampler directly; inherit nisbench.api.ChainSampler or nisbench.api.We"),
        (Direct, "density", False, "it inherits Sampler directly; inherit nisbench.api.Density"),
        (densities.OpenRows, "sampler", False, "register it in register_densities, or inherit nisbench.api.ChainS"),
        (densities.OpenRows, "model", False, "register it in register_densities, or inherit nisbench.api.Model"),
        (models.Logistic, "density", False, "register it in register_models, or inherit nisbench.api.Density"),
        (samplers.HeatBath, "density", False, "register it in register_samplers, or inherit nisbench.api.Density"),
        (models.NotAModel, "model", False, "it is not a subclass of nisbench.api.Model"),
        (OwnTraining, "model", False, "has a `fit`; register it with trains=True"),
        (samplers.FittedHeatBath, "sampler", False, "has a `fit`; register it with trains=True"),
        (densities.OpenRows, "density", True, "has no `fit`, but trains=True"),
    ],
)
def test_a_class_that_does_not_fit_is_refused_in_one_line(plugin, kind, trains, message):
    with pytest.raises(PluginError) as refused:
        entry(plugin, kind, trains=trains).load()
    text = str(refused.value)
    assert message in text
    assert plugin.__name__ in text
    assert "\n" not in text


def test_an_attribute_that_is_not_a_class_is_refused():
    function = Entry("mine", "sampler", "tests", "0", factory="nisbench.contract.catalog:load_catalog")
    with pytest.raises(PluginError, match="is not a subclass of"):
        function.load()
