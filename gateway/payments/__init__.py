"""Stripe, and the quote as a 402."""
