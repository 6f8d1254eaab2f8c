"""A module that works while it is imported."""

from fakes.hidden import Fair, work

work()


class AtImport(Fair):
    """Independent spins."""
