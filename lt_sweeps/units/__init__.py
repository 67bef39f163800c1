"""Units: what a level prunes as a whole. One per word of `prune.unit=`."""
