"""Hooks: what changes the mask of a training under way, or ends it. One per word of `hook=`."""
