"""Pictures of the first layer under a mask: what it keeps of each pixel, or its filters."""

from __future__ import annotations

from collections.abc import Callable, Collection
from itertools import product

import torch
from torch import Tensor, nn

from lt_sweeps.measures.ends import Ends, Table
from lt_sweeps.measures.layers import percent, six_digits
from lt_sweeps.registry import register

MOST = 4096  # places of all pictures of a layer


@register(
    "measure",
    version=1,
    needs=("images", "first_layer"),
    quantity="Kept places of the first layer",
    unit="%",
)
def first_layer(ends: Ends) -> Table:
    """Pictures of the first layer, as the last mask leaves it, and the percentage of their places that keep a weight.

    Of a linear layer on flattened images (C, H, W): a picture of H x W pixels, of each pixel's weights the percentage
    that is kept, all channels together; `first_layer` is the share of pixels with a kept weight. Of a convolution: its
    filters, mask * weights, a picture of each channel of each; `first_layer` is the share of their places that are
    kept. `picture` numbers filters, `channel` and `row` are within one, columns are `at_00` and on. All pictures
    together have 4096 places at most: larger images are means over blocks, and of more filters only the first of
    `filters` are there. Such pictures of SNIP's masks are in Lee et al. 2019. Raises ValueError where the first
    prunable layer is no such layer on the image itself.

    An image of 1 x 2 pixels, two units. One weight of four is left, of the second pixel:

    >>> network = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    >>> mask = {"1.weight": torch.tensor([[False, False], [False, True]])}
    >>> batch = torch.rand(1, 1, 1, 2), torch.zeros(1)
    >>> table = first_layer(Ends(({},), (mask,), 2, lambda state: network, lambda part: iter([batch])))
    >>> table["first_layer"], table["at_00"], table["at_01"]
    (50.0, [0.0], [50.0])
    """
    image = next(iter(ends.examples("test")))[0][:1]
    mask = ends.masks[-1]
    name, layer = on_the_image(ends.network(ends.weights[-1]), mask, image)
    kept = mask[name].cpu()
    number = float(1 + [*mask].index(name))
    if isinstance(layer, nn.Linear):
        pixels = kept.double().mean(0).view(image.shape[1:])
        share = percent(int(pixels.any(0).sum()), pixels[0].numel())
        picture = 100 * _smaller(pixels.mean(0))
        return {"first_layer": share, **_rows(number, picture[None], ("picture", "row"))}
    filters = (ends.weights[-1][name].detach().cpu().double() * kept)[: max(1, MOST // kept[0].numel())]
    rows = _rows(number, filters, ("picture", "channel", "row"))
    count = [float(len(kept))] * filters.flatten(0, -2).shape[0]
    return {"first_layer": percent(int(kept.sum()), kept.numel()), **rows, "filters": count}


@torch.no_grad()
def on_the_image(network: nn.Module, names: Collection[str], image: Tensor) -> tuple[str, nn.Linear | nn.Conv2d]:
    """Returns the first layer that a network runs, among those with weights of these names, and the name of its weight.

    Raises ValueError unless it is a linear layer or a convolution of two dimensions that is given the image as it is.

    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    >>> on_the_image(network, ["0.weight", "2.weight"], torch.rand(1, 1, 3, 3))[0]
    '0.weight'
    >>> on_the_image(network, ["2.weight"], torch.rand(1, 1, 3, 3))
    Traceback (most recent call last):
    ValueError: the first prunable layer that it runs, 2 (Linear), is not on the pixels of an image
    """
    calls: list[tuple[str, nn.Module, Tensor | None]] = []

    def noted(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        def note(layer: nn.Module, inputs: tuple[object, ...]) -> None:
            calls.append((name, layer, inputs[0] if inputs and isinstance(inputs[0], Tensor) else None))

        return note

    handles = [
        module.register_forward_pre_hook(noted(name))
        for name, module in network.named_modules()
        if any(f"{name}.{own}" in names for own, _ in module.named_parameters(recurse=False))
    ]
    try:
        network.eval()(image)
    finally:
        for handle in handles:
            handle.remove()
    if not calls:
        raise ValueError("it runs no layer with prunable weights")
    name, layer, entering = calls[0]
    if isinstance(layer, (nn.Linear, nn.Conv2d)) and f"{name}.weight" in names and entering is not None:
        seen = image if isinstance(layer, nn.Conv2d) else image.flatten(1)
        if entering.shape == seen.shape and torch.equal(entering, seen.to(entering)):
            return f"{name}.weight", layer
    what = f"the first prunable layer that it runs, {name} ({type(layer).__name__}),"
    raise ValueError(f"{what} is not on the pixels of an image")


def _smaller(picture: Tensor) -> Tensor:
    """A picture of at most MOST places, (h, w): means over blocks of a larger one."""
    height, width = picture.shape
    shrink = max(1.0, (height * width / MOST) ** 0.5)
    size = max(1, int(height / shrink)), max(1, int(width / shrink))
    return nn.functional.adaptive_avg_pool2d(picture[None], size)[0]


def _rows(number: float, places: Tensor, names: tuple[str, ...]) -> Table:
    """Pictures as columns: the number of their tensor, an index for each dimension but the last, and the last's places.

    >>> _rows(1.0, torch.tensor([[1.0, 2.0], [3.0, 4.0]]), ("row",))
    {'tensor': [1.0, 1.0], 'row': [0.0, 1.0], 'at_00': [1.0, 3.0], 'at_01': [2.0, 4.0]}
    """
    rows = [*product(*(range(size) for size in places.shape[:-1]))]
    lines = places.flatten(0, -2)
    return {
        "tensor": [number] * len(rows),
        **{name: [float(row[at]) for row in rows] for at, name in enumerate(names)},
        **{f"at_{at:02}": [six_digits(value) for value in lines[:, at]] for at in range(lines.shape[1])},
    }
