"""Ourselves and peers on the same work, in one run."""
