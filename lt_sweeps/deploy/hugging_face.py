"""A network of transformers as a folder that transformers loads: its configuration and weights, zeros included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from lt_sweeps.deploy.cutting import TOLERANCE, relative_difference
from lt_sweeps.deploy.form import Form, readme, size
from lt_sweeps.errors import Mistake
from lt_sweeps.masks import aliases
from lt_sweeps.networks.hugging_face import alone, in_its_layout

LINES = """from transformers import {auto}

model = {auto}.from_pretrained(".", local_files_only=True).eval()


def network(x):
    \"\"\"Logits of a batch of tokens, a torch tensor of integers.\"\"\"
    return model(x).logits"""
AUTO = {"ForCausalLM": "AutoModelForCausalLM", "LMHeadModel": "AutoModelForCausalLM"}


@torch.no_grad()
def prepare(network: Any, x: Tensor, say: Callable[[str], object]) -> Form:
    """Returns a network in the form that transformers loads, checked on the examples x; says how close it is.

    Raises Mistake for a network that is none of transformers', or if the logits are others.
    """
    if not hasattr(network, "config") or not hasattr(network, "base_model_prefix"):
        raise Mistake("ticket export --for huggingface: is for model=hf_causal and model=hf_classifier")
    network = network.cpu().eval()
    state, kind = in_its_layout(network, network.state_dict()), type(network).__name__
    model = alone(network, state)
    by = relative_difference(model(x).logits, network(x))
    if not by <= TOLERANCE:
        raise Mistake(f"transformers: its logits differ by {by:.1e} of the largest, more than {TOLERANCE:g}")
    say(f"transformers: logits of {len(x)} examples as here, to {by:.1e} of the largest (allowed: {TOLERANCE:g})")
    auto = next((name for end, name in AUTO.items() if kind.endswith(end)), "AutoModelForSequenceClassification")

    def files() -> dict[str, bytes]:
        config = copy.deepcopy(network.config)
        config.architectures = [kind]
        return {
            "config.json": config.to_json_string().encode(),
            "model.safetensors": _without_duplicates(network, state),
            **readme("a model of transformers", LINES.format(auto=auto)),
        }

    return Form("transformers", lambda tokens: model(tokens).logits, size(network), files)


def _without_duplicates(network: nn.Module, state: dict[str, Tensor]) -> bytes:
    """The weights as transformers writes them: shared ones under their first name."""
    further = aliases(network)
    return save({name: value.contiguous() for name, value in state.items() if name not in further}, {"format": "pt"})
