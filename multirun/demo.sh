#!/bin/sh
# The first ticket: a small network on the digits that come with scikit-learn, three seeds, and re-initialisation. It
# reproduces no figure; it shows the effect of Frankle & Carbin 2019 within minutes.
# Cost: 6 cells: 75 trainings asked, 51 distinct; disk: 9.1 MB; hours: 62 s of one core (longest chain 11 s),
# estimated on a shared two-core AMD EPYC.
exec python -m lt_sweeps.main -m experiment=demo "$@"
