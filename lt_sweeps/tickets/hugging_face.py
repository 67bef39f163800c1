"""`lt-sweeps ticket import`: a local folder of transformers as a ticket of which everything is kept."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load
from torch import nn

from lt_sweeps.errors import Mistake
from lt_sweeps.masks import State, aliases, dense
from lt_sweeps.networks import hugging_face as hf
from lt_sweeps.networks.build import build, initial
from lt_sweeps.registry import part
from lt_sweeps.specs import Network
from lt_sweeps.store.tensors import encode_mask, encode_masked
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files.header import BadFile, Entry, header, plain_json

CONFIG, WEIGHTS = "config.json", "model.safetensors"
MOST_CONFIG = 1 << 20  # bytes
NUMBERS = ("F32", "F16", "BF16")
ENDS = {"ForCausalLM": "hf_causal", "LMHeadModel": "hf_causal", "ForSequenceClassification": "hf_classifier"}


def import_folder(
    folder: Path, to: Path, kind: str | None, length: int | None, classes: int | None, seed: int
) -> list[str]:
    """Writes a folder of transformers as a ticket whose training begins at step 0; returns what to say of it.

    Of the folder only config.json and model.safetensors are read: nothing is downloaded, unpickled or executed. Weights
    become float32. The head that a folder lacks is drawn from `seed`. Raises Mistake, in one line, for what is no such
    folder, or fits no network.
    """
    try:
        config, content = _read(folder)
        fields = _fields(config)
        known, entries = _known(fields), header(content)[0]
        network = _network(fields, known, len(entries), kind, length, classes)
        with torch.device("meta"):
            module = build(network)
        places, lacks = _places(module, entries)
    except BadFile as error:
        raise Mistake(f"{folder}: {error}") from None
    except ValueError as error:
        raise Mistake(f"{folder}: {str(error).replace('model.args.', '')}") from None
    state = _state(module, content, places, initial(network, seed) if lacks else {})
    if wrong := [name for name, value in state.items() if not bool(value.isfinite().all())]:
        raise Mistake(f"{folder}: {WEIGHTS}: {wrong[0]} has numbers that are not finite")
    mask, _ = dense(module)
    mask = {name: torch.ones(ones.shape, dtype=torch.bool) for name, ones in mask.items()}  # the module has no memory
    made_of = {name: hashlib.sha256(read).hexdigest() for name, read in ((CONFIG, config), (WEIGHTS, content))}
    described = {
        "kind": "start",
        "title": f"{network.build.args['architecture']} of transformers, as {network.build.name}",
        "network": network.describe(),
        "start": 0,
        "pretrained": True,
        "level": 0,
        "pruned": "zero",
        "layers": {name: {"shape": list(ones.shape), "kept": ones.numel()} for name, ones in mask.items()},
        "expected": {},
        "data": {},
        "examples": [0, 0],
        "recipe": {},
        "exclude": [],
        "order": 0,
        "augment": 0,
        "provenance": {"run": made_of[WEIGHTS], "files": made_of},
    }
    cards.write(to, described, encode_masked(state, mask), encode_mask(mask), as_seed=False)
    lines = [f"drawn from seed {seed}, for the folder lacks them: {', '.join(lacks)}"] if lacks else []
    unused = entries.keys() - {*places.values()}
    lines += [f"not of this network, and left out: {_abbreviated(sorted(unused))}"] if unused else []
    args = f"model={network.build.name} dataset.shape=[{network.shape[0]}] dataset.classes={network.classes}"
    return [*lines, f"train it: ticket={to} {args}"]


def _read(folder: Path) -> tuple[bytes, bytes]:
    """Returns the content of config.json, and of model.safetensors, whose header is in order. Raises BadFile."""
    for name in (CONFIG, WEIGHTS):
        try:
            status = (folder / name).stat()
        except OSError:
            reason = "there is no such folder" if not folder.is_dir() else f"there is no {name} in it"
            raise BadFile(f"{reason}: it must have {CONFIG} and {WEIGHTS}, and nothing is downloaded") from None
        if not stat.S_ISREG(status.st_mode):
            raise BadFile(f"{name} is not a file")
        if name == CONFIG and status.st_size > MOST_CONFIG:
            raise BadFile(f"{name} is larger than any configuration should be")
    content = (folder / WEIGHTS).read_bytes()
    try:
        header(content)
    except BadFile as error:
        raise BadFile(f"{WEIGHTS}: {error}") from None
    return (folder / CONFIG).read_bytes(), content


def _fields(config: bytes) -> dict[str, Any]:
    try:
        return plain_json(config)
    except BadFile as error:
        raise BadFile(f"{CONFIG}: {error}") from None


def _known(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields of the network, as transformers reads them. Raises BadFile, and ValueError if unknown."""
    for name in ("quantization_config", "pruned_heads"):
        if fields.get(name):
            raise BadFile(f"{CONFIG}: it has {name}, and only whole networks in full precision are read")
    usual = hf.configuration(str(fields.get("model_type"))[:40], hf.CLASSIFIERS, {})
    hf.require_end(fields)
    try:
        hf_config = type(usual).from_dict({name: v for name, v in fields.items() if _is_of_network(name, fields)})
    except Exception as error:  # transformers validates as it likes
        raise BadFile(f"{CONFIG}: cannot be read ({' '.join(str(error).split())[:160]})") from None
    return {
        name: value
        for name, value in hf_config.to_dict().items()
        if _is_of_network(name, fields) and hasattr(usual, name) and "drop" not in name and value is not None
    }


def _is_of_network(name: str, fields: Mapping[str, Any]) -> bool:
    size, number = fields.get("vocab_size"), fields.get(name)
    beyond = name.endswith("_token_id") and type(size) is int and type(number) is int and not 0 <= number < size
    return not beyond and not name.startswith("_") and name not in hf.NOT_OF_NETWORK


def _network(
    fields: Mapping[str, Any],
    known: Mapping[str, Any],
    tensors: int,
    kind: str | None,
    length: int | None,
    classes: int | None,
) -> Network:
    """Returns the network that a configuration describes. Raises BadFile and ValueError."""
    architectures = fields.get("architectures")
    named = [word for word in architectures if isinstance(word, str)] if isinstance(architectures, list) else []
    kind = kind or next((ENDS[end] for end in ENDS for word in named if word.endswith(end)), None)
    if kind is None:
        raise BadFile(f"is of {', '.join(named)[:80] or 'no architecture'}: say what it becomes, --as hf_causal or so")
    hf_config = hf.configuration(str(fields["model_type"]), hf.CLASSIFIERS, known)
    if hf_config.num_hidden_layers > tensors:
        raise BadFile(f"{WEIGHTS}: has {tensors} tensors, for {hf_config.num_hidden_layers} layers by {CONFIG}")
    labels = fields.get("id2label")
    if kind == "hf_causal":
        if classes not in (None, hf_config.vocab_size):
            raise BadFile(
                f"a causal model has the {hf_config.vocab_size} classes of its vocabulary: leave out --classes"
            )
        classes = hf_config.vocab_size
    classes = classes or (len(labels) if isinstance(labels, dict) and labels else 2)
    build = part("network", kind, {"architecture": str(fields["model_type"]), "config": dict(known)})
    return Network(build, (length or hf_config.max_position_embeddings,), classes)


def _places(module: Any, entries: Mapping[str, Entry]) -> tuple[dict[str, str], list[str]]:
    """Returns the tensor of a file for each tensor of a network, and the tensors of its head that the file lacks.

    Raises BadFile for any other missing tensor, and for other shapes.
    """
    prefix, further, turned = f"{module.base_model_prefix}.", aliases(module), hf.transposed(module)
    places, lacks = dict[str, str](), list[str]()
    for name, value in module.state_dict().items():
        expected = tuple(value.shape[::-1] if name in turned else value.shape)
        words = [name, further.get(name, name)]
        source = next((word for word in (*words, *(w.removeprefix(prefix) for w in words)) if word in entries), None)
        of_head = not name.startswith(prefix) or ".pooler." in name
        if source is None and not of_head:
            raise BadFile(f"{WEIGHTS}: {name} is missing: is it of another architecture?")
        if source is not None and entries[source].dtype not in NUMBERS:
            raise BadFile(f"{WEIGHTS}: {source} is of {entries[source].dtype}: only {', '.join(NUMBERS)} are read")
        if source is not None and entries[source].shape == expected:
            places[name] = source
        elif source is None or (of_head and entries[source].shape[1:] == expected[1:]):
            lacks.append(name)  # a head, perhaps of other classes
        else:
            shapes = ("x".join(map(str, shape)) for shape in (entries[source].shape, expected))
            raise BadFile("{}: {} is {}, and {} by {}".format(WEIGHTS, name, *shapes, CONFIG))
    return places, lacks


def _state(module: nn.Module, content: bytes, places: Mapping[str, str], own: State) -> State:
    """Returns the weights of a network in float32: those of a file, and `own` where it lacks them."""
    values = load(content)
    theirs = {name: values[source].to(module.state_dict()[name].dtype) for name, source in places.items()}
    return {**own, **hf.in_its_layout(module, theirs)}


def _abbreviated(names: list[str]) -> str:
    return f"{len(names)} tensors, such as {names[0]}" if len(names) > 1 else names[0]
