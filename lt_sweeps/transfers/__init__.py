"""Transfers: where each place of a network's masks and weights comes from in another network."""
