"""A gateway that sells simulations one call at a time."""

__version__ = "0.1.0"
