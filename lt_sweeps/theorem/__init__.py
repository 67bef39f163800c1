"""The strong lottery ticket theorem, carried out: a trained network rebuilt as a mask on random weights."""

MOST = 26  # candidates per weight: 2^13 sums on each side of the middle
