"""Options of `survivors=` that build expressions; those in the other modules compute tensors."""

from __future__ import annotations

from lt_sweeps.graph import Init, Treat, Weights
from lt_sweeps.methods.level import Level
from lt_sweeps.registry import part, register


@register("survivors", version=1, needs=("graph", "rewound"))
def rewind(level: Level) -> Weights:
    """The values at the rewind point (the ticket of Frankle & Carbin 2019).

    >>> from lt_sweeps.methods.level import example
    >>> rewind(example(step=0)) == example().dense.ticket.weights, rewind(example(step=5)).step
    (True, 5)
    """
    if level.keep_batchnorm:
        return Treat(part("survivors", "keep_batchnorm"), level.mask, level.rewound, level.ended, 0)
    return level.rewound


@register("survivors", version=1, needs=("graph", "trained"))
def keep(level: Level) -> Weights:
    """The trained values (learning-rate rewinding of Renda et al. 2020, fine-tuning).

    >>> from lt_sweeps.graph import END
    >>> from lt_sweeps.methods.level import example
    >>> keep(example()).step == END
    True
    """
    return level.ended


@register("survivors", version=1, needs=("graph", "drawn"))
def reinit(level: Level) -> Init:
    """A fresh draw from the network's initialiser (Frankle & Carbin 2019), also of biases and batch normalisation.

    >>> from lt_sweeps.methods.level import example
    >>> level = example()
    >>> reinit(level).network == level.dense.ticket.network, reinit(level) == level.rewound
    (True, False)
    """
    return level.drawn


@register("survivors", version=1, needs=("graph",))
def reinit_signed(level: Level) -> Weights:
    """The magnitudes of a fresh draw with the rewound signs (Zhou et al. 2019); tensors that are not prunable stay.

    >>> from lt_sweeps.methods.level import example
    >>> level = example()
    >>> reinit_signed(level).ref == level.rewound, reinit_signed(level).end == reinit(level)
    (True, True)
    """
    if level.begun == level.drawn:
        return level.drawn  # its signs are already those of the draw
    return Treat(part("survivors", "signs"), level.mask, level.begun, level.drawn, 0)


@register("survivors", version=1, needs=("graph",))
def reinit_density_scaled(level: Level) -> Treat:
    """A fresh draw, of each unit scaled by its kept inputs: the sparse initialisation of Evci et al. 2022.

    >>> from lt_sweeps.methods.level import example
    >>> level = example()
    >>> reinit_density_scaled(level).ref == reinit(level), reinit_density_scaled(level).treatment.args
    (True, {'scope': 'unit'})
    """
    word = part("survivors", "density_scaled", {"scope": "unit"})
    return Treat(word, level.mask, level.drawn, level.drawn, 0)
