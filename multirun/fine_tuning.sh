#!/bin/sh
# A transformer of bytes, trained on the sources of Python's library, then fine-tuned on the text of its reference:
# tickets of it and their masks on fresh weights (Chen et al. 2020), the weights that fine-tuning moves most (lottery
# ticket adaptation), random subsets of weights with all others frozen, and trainings from a draw. What seeds have in
# common is asked of the finished sweep: lt-sweeps measure runs/fine_tuning moved_overlap overlap --between seed
# Cost: 15 cells: 39 trainings asked, 30 distinct; disk: 23 MB;
# hours: 8 min of one core, timed on a shared two-core AMD EPYC.
set -e
mkdir -p texts
python -c "import pydoc_data.topics as all; print('\n'.join(all.topics[name] for name in sorted(all.topics)))" \
    > texts/reference.txt
python -m lt_sweeps.main model=transformer recipe.steps=1500it prune.levels=0 sweep=pretraining
lt-sweeps ticket export runs/pretraining level=0 --trained --start 0 --to tickets/pretrained
new="experiment=fine_tuning paths.data_dir=texts"
old="$new ticket=tickets/pretrained"
python -m lt_sweeps.main -m $new prune.levels=0 "$@"
python -m lt_sweeps.main -m $old criterion=movement prune.groups=layerwise pruned=freeze prune.rate=0.9 "$@"
python -m lt_sweeps.main -m $old prune=at_init criterion=random pruned=freeze prune.rate=0.9 "$@"
exec python -m lt_sweeps.main -m \
    experiment=fine_tuning paths.data_dir=texts ticket=tickets/pretrained control=none,reinit \
    "$@"
