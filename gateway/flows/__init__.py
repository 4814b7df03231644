"""Verbs: the only place where two of store, payments and simulation meet."""
