"""Benchmarks of drawing, training and memory of the built-in plugins, which are loaded as a worker loads them."""

from benchmarks.suite import BETA, Timed, build
from benchmarks.work import draw, flips, training_step

WORK = 2**14
"""Draws times L. A call then takes several ms, several times the smallest difference that the gate reports (1 ms)."""


class Models(Timed):
    version = "2"
    params = ["hier", "van"]
    param_names = ["plugin"]

    def setup(self, plugin):
        self.model, self.generator = build(plugin, 32)

    def time_draw(self, plugin):
        draw(self.model, self.generator, WORK // 32)

    def time_training_step(self, plugin):
        training_step(self.model, self.generator, WORK // 32)


class ExactBlocks(Timed):
    """Drawing and training of `hier-exact`: the kernels of odd networks and of exact blocks."""

    version = "2"

    def setup(self):
        self.model, self.generator = build("hier-exact", 32)

    def time_draw(self):
        draw(self.model, self.generator, WORK // 32)

    def time_training_step(self):
        training_step(self.model, self.generator, WORK // 32)


class Density(Timed):
    params = ["hier", "van"]
    param_names = ["plugin"]

    def setup(self, plugin):
        self.model, self.generator = build(plugin, 16)
        self.spins = draw(self.model, self.generator, WORK // 16).spins

    def time_log_prob(self, plugin):
        self.model.log_prob(self.spins, beta=BETA)


class Wolff(Timed):
    params = [16, 128]
    param_names = ["L"]

    def setup(self, extent):
        self.sampler, self.generator = build("wolff", extent)
        self.sampler.prepare(beta=BETA, generator=self.generator)

    def time_flips(self, extent):
        flips(self.sampler, self.generator, 2**15 // extent)


class Memory:
    """Peak memory of the whole process. The batches are so large that it is far above the 0.3 GB of the imports."""

    params = ["hier", "van"]
    param_names = ["plugin"]
    version = "1"
    timeout = 300

    def setup_cache(self):
        """Compile the kernels into numba's cache, so that the memory of the compiler is not measured."""
        for plugin in self.params:
            try:
                draw(*build(plugin, 32), 128)
                training_step(*build(plugin, 32), 128)
            except NotImplementedError:
                continue

    def setup(self, plugin):
        self.model, self.generator = build(plugin, 32)

    def peakmem_draw(self, plugin):
        draw(self.model, self.generator, 2**14)

    def peakmem_training_step(self, plugin):
        training_step(self.model, self.generator, 2**13)
