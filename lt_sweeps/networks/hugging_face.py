"""Networks of Hugging Face's transformers, built from a configuration. Nothing is ever downloaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lt_sweeps.networks.tokens import require_tokens
from lt_sweeps.randomness import seeded
from lt_sweeps.registry import nearest, register

CAUSAL = ("bert", "gpt2", "gpt_neox", "llama", "mistral", "opt", "qwen2")  # those that the tests go through
CLASSIFIERS = (*CAUSAL, "distilbert")
FEEDFORWARD = ("intermediate_size", "ffn_dim", "hidden_dim")  # what architectures call the units of feed-forward layers
MOST_LAYERS = 10_000
# Fields of a configuration that are of a file, of generation or of where code comes from, not of the network.
NOT_OF_NETWORK = (
    *(
        "architectures",
        "auto_map",
        "chunk_size_feed_forward",
        "dtype",
        "gradient_checkpointing",
        "id2label",
        "label2id",
    ),
    *("is_decoder", "model_type", "num_labels", "output_attentions", "output_hidden_states", "problem_type"),
    *("return_dict", "task_specific_params", "tokenizer_class", "torch_dtype", "torchscript", "transformers_version"),
    *("use_cache", "name_or_path", "attn_implementation", "experts_implementation", "quantization_config"),
)


@register("network", version=1, needs=("tokens", "transformers"))
def hf_causal(
    shape: tuple[int, ...],
    classes: int,
    architecture: str = "gpt2",
    layers: int = 2,
    heads: int = 4,
    dim: int = 64,
    config: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A causal language model of Hugging Face's transformers: tokens (N, T) -> logits (N, T, classes).

    `architecture` is one of bert (as a decoder), gpt2, gpt_neox, llama, mistral, opt, qwen2; `config` has further
    fields of its configuration, by their names there, and wins over `layers`, `heads` and `dim`. Feed-forward layers
    have 4 dim units, the vocabulary is as large as classes, and there are as many positions as tokens, where `config`
    does not say otherwise. Weights are drawn as transformers draws them. Differs: nothing is dropped out, no padding
    is masked, and GPT-2's projections are linear layers, whose weights are the transposed ones. Raises ValueError.
    """
    length, _ = require_tokens(shape, classes, None)
    own = _sizes(layers, heads, dim) | {"max_position_embeddings": length, "vocab_size": classes}
    hf_config = _configured(architecture, CAUSAL, own, config or {})
    if hf_config.vocab_size != classes:
        raise ValueError(f"its vocabulary has {hf_config.vocab_size} tokens, and the data set {classes}")
    _require_positions(hf_config, length)
    if hasattr(hf_config, "is_decoder"):
        hf_config.is_decoder = True  # BERT's attention is causal then
    return _built("AutoModelForCausalLM", hf_config)


@register("network", version=1, needs=("tokens", "transformers"))
def hf_classifier(
    shape: tuple[int, ...],
    classes: int,
    architecture: str = "bert",
    layers: int = 2,
    heads: int = 4,
    dim: int = 64,
    tokens: int | None = None,
    config: Mapping[str, Any] | None = None,
) -> nn.Module:
    """A sequence classifier of Hugging Face's transformers: tokens (N, T) -> logits (N, classes).

    As `hf_causal`, and also distilbert. `tokens`: of the input, as many as classes if neither it nor `config` says.
    Decoders classify by their last place, BERT by its first. Raises ValueError.
    """
    length, tokens = require_tokens(shape, classes, tokens)
    own = _sizes(layers, heads, dim) | {"max_position_embeddings": length, "vocab_size": tokens}
    hf_config = _configured(architecture, CLASSIFIERS, own, config or {})
    hf_config.num_labels = classes
    _require_positions(hf_config, length)
    module = _built("AutoModelForSequenceClassification", hf_config)
    if module.config.pad_token_id is None:
        module.config.pad_token_id = -1  # no token: decoders then take the last place
    return module


def is_here() -> bool:
    """Whether transformers is installed."""
    from importlib.util import find_spec

    return find_spec("transformers") is not None


def library() -> Any:
    """Returns the module transformers, which is told never to ask the hub. Raises ValueError if it is not installed."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    try:
        import transformers
    except ImportError:
        raise ValueError("needs transformers: pip install 'lt_sweeps[huggingface]'") from None
    return transformers


def configuration(architecture: str, known: tuple[str, ...], fields: Mapping[str, Any]) -> Any:
    """Returns a configuration of transformers with these fields, nothing dropped out. Raises ValueError."""
    if architecture not in known:
        choices = ", ".join(known)
        raise ValueError(
            f"model.args.architecture={architecture}: choose one of {choices}{nearest(architecture, known)}"
        )
    kind = library().CONFIG_MAPPING[architecture]
    usual = kind()
    for name in fields:
        if name.startswith("_") or name in NOT_OF_NETWORK or not hasattr(usual, name):
            raise ValueError(f"model.args.config.{name}: is no field of {architecture}{nearest(name, vars(usual))}")
    require_end(fields)
    named = {kind.attribute_map.get(name, name): value for name, value in fields.items()}
    try:
        hf_config = kind(**{"pad_token_id": None, "bos_token_id": None, "eos_token_id": None, **named})
        for name in [*vars(hf_config)]:
            if "dropout" in name or "pdrop" in name or "layerdrop" in name:
                setattr(hf_config, name, 0.0)
    except Exception as error:  # transformers validates as it likes
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"model.args.config: {architecture} cannot be configured so ({reason})") from None
    hf_config.use_cache = False
    return hf_config


def require_end(fields: Mapping[str, Any]) -> None:
    """Raises ValueError for more layers than a network has: transformers lists them all in its configuration."""
    for name, value in fields.items():
        if "layer" in name and isinstance(value, (int, float)) and value > MOST_LAYERS:
            raise ValueError(f"model.args.config.{name}={value}: no network has more than {MOST_LAYERS:,} layers")


def transposed(module: nn.Module) -> set[str]:
    """Returns the names of the weights that transformers holds transposed."""
    return {f"{name}.weight" for name, layer in module.named_modules() if getattr(layer, "held_transposed", False)}


def in_its_layout(module: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a state with its weights as transformers holds them; applied twice, it is the same again."""
    turned = transposed(module)
    return {name: value.T.contiguous() if name in turned else value for name, value in state.items()}


def alone(module: Any, state: Mapping[str, Tensor]) -> nn.Module:
    """Returns a network of transformers as it is there, with a state in its layout, in evaluation mode."""
    with seeded(0):
        network: nn.Module = type(module)(module.config)
    network.load_state_dict(dict(state))
    return network.eval()


def _sizes(layers: int, heads: int, dim: int) -> dict[str, Any]:
    if layers < 1 or heads < 1 or dim < 1 or dim % heads:
        raise ValueError(f"model.args: layers={layers} heads={heads} dim={dim}: dim must be a multiple of heads")
    return {"num_hidden_layers": layers, "num_attention_heads": heads, "hidden_size": dim}


def _configured(architecture: str, known: tuple[str, ...], own: Mapping[str, Any], config: Mapping[str, Any]) -> Any:
    """Returns the configuration of `own` sizes, in which `config` wins."""
    usual = configuration(architecture, known, {})
    names = type(usual).attribute_map
    fields = {names.get(name, name): value for name, value in own.items() if hasattr(usual, name)}
    fields |= {name: 4 * own["hidden_size"] for name in FEEDFORWARD if hasattr(usual, name)}
    if hasattr(usual, "num_key_value_heads"):
        fields["num_key_value_heads"] = own["num_attention_heads"]
    if hasattr(usual, "word_embed_proj_dim"):
        fields["word_embed_proj_dim"] = own["hidden_size"]
    return configuration(architecture, known, fields | {names.get(name, name): v for name, v in config.items()})


def _require_positions(hf_config: Any, length: int) -> None:
    if hf_config.max_position_embeddings < length:
        raise ValueError(f"it has {hf_config.max_position_embeddings} positions, and sequences are of {length} tokens")


def _built(auto: str, hf_config: Any) -> Any:
    """Builds the model, whose output is its logits alone."""
    hf = library()
    try:
        kind = getattr(hf, auto)
        module = kind.from_config(hf_config, attn_implementation="eager", trust_remote_code=False, dtype=torch.float32)
    except Exception as error:  # transformers raises anything for sizes that do not fit together
        reason = " ".join(str(error).split())[:160]
        raise ValueError(f"transformers cannot build it ({type(error).__name__}: {reason})") from None
    from transformers.pytorch_utils import Conv1D

    for name, layer in [*module.named_modules()]:
        if isinstance(layer, Conv1D):
            parent, _, last = name.rpartition(".")
            setattr(module.get_submodule(parent), last, _linear(layer))
    module.register_forward_hook(_logits)
    return module


def _linear(layer: Any) -> nn.Linear:
    """Returns the linear layer that computes what a `Conv1D` of transformers does."""
    linear = nn.Linear(layer.nx, layer.nf, device="meta")
    linear.weight, linear.bias = nn.Parameter(layer.weight.detach().T.contiguous()), layer.bias
    linear.held_transposed = True  # type: ignore[assignment]
    return linear


def _logits(module: nn.Module, inputs: Any, output: Any) -> Tensor:
    logits: Tensor = output.logits
    return logits
