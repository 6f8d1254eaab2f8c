"""Drawing and training of the built-in plugins, through the catalog as a worker loads them."""

BETA = 0.44
DRAWS = 256


def build(name, extent):
    """The plugin with default options on the Ising target, and a generator; imports stay out of the timing."""
    import torch

    from nisbench.contract.catalog import load_catalog

    catalog = load_catalog()
    entry, target = catalog.plugin(name), catalog.target("ising").load()(extent)
    torch.manual_seed(1)
    return entry.load()(target, entry.options()), torch.Generator().manual_seed(1)


class Models:
    params = (["hier", "van"], [8, 16, 32])
    param_names = ("plugin", "L")

    def setup(self, plugin, extent):
        self.model, self.generator = build(plugin, extent)
        self.time_draw(plugin, extent)
        self.time_training_step(plugin, extent)

    def time_draw(self, plugin, extent):
        self.model.sample(DRAWS, beta=BETA, generator=self.generator)

    def time_training_step(self, plugin, extent):
        batch = self.model.training_batch(DRAWS, beta=BETA, generator=self.generator)
        self.model.zero_grad()
        ((batch.signal - batch.signal.mean()) * batch.log_prob).mean().backward()

    def track_parameters(self, plugin, extent):
        return sum(parameter.numel() for parameter in self.model.parameters())

    def track_operations_per_draw(self, plugin, extent):
        return self.model.costs()["flops_per_draw"]

    def track_network_calls_per_draw(self, plugin, extent):
        return self.model.costs()["network_calls_per_draw"]


class Wolff:
    params = [16, 64, 256]
    param_names = ("L",)

    def setup(self, extent):
        self.sampler, self.generator = build("wolff", extent)
        self.sampler.prepare(beta=BETA, generator=self.generator)

    def time_flips(self, extent):
        self.sampler.draw_series(1000, generator=self.generator)
