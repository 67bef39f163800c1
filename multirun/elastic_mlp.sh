#!/bin/sh
# Chen et al. 2021, elastic tickets: MLP-2, 3 and 4 (300 units two, three or four times, then 100) on MNIST at 89.26 %
# sparsity, each network's own tickets beside those stretched and squeezed from the other depths, with weights drawn
# anew and random masks; 5,000 iterations, ten levels.
# Cost: 81 cells: 945 trainings asked, 171 distinct; disk: 100 MB;
# hours: 90 min of one core, timed on a shared two-core AMD EPYC.
set -e
python -m lt_sweeps.main -m experiment=elastic_mlp model=mlp2,mlp3,mlp4 "$@"
python -m lt_sweeps.main -m experiment=elastic_mlp model=mlp2 find.model.name=mlp3,mlp4 transfer=elastic "$@"
python -m lt_sweeps.main -m experiment=elastic_mlp model=mlp3 find.model.name=mlp2,mlp4 transfer=elastic "$@"
exec python -m lt_sweeps.main -m \
    experiment=elastic_mlp model=mlp4 find.model.name=mlp2,mlp3 transfer=elastic \
    "$@"
