"""The strong lottery ticket theorem, carried out: a trained network rebuilt as a mask on random weights."""
