"""Nouns: pure values and rules. No I/O, no clock, no randomness that is not passed in."""
