"""Networks of transformers: built, drawn, pruned, trained, taken from a folder and given back, without the network."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_recipes import composed

import lt_sweeps as lt
from lt_sweeps.check import trainings
from lt_sweeps.check.candidate import candidate
from lt_sweeps.check.laws import run_laws
from lt_sweeps.cli import main as cli
from lt_sweeps.errors import Mistake
from lt_sweeps.foreign import files
from lt_sweeps.graph import Init, Pretrained
from lt_sweeps.main import main
from lt_sweeps.masks import aliases, dense
from lt_sweeps.networks.build import build, initial
from lt_sweeps.networks.hugging_face import CAUSAL, CLASSIFIERS, alone, in_its_layout, library
from lt_sweeps.registry import part
from lt_sweeps.specs import Network
from lt_sweeps.store.store import Store
from lt_sweeps.tickets.hugging_face import import_folder

pytestmark = pytest.mark.engines

SMOKE = ["budget=smoke", "trainer.processes=0", "logger=none"]
ALL = [*(("hf_causal", name) for name in CAUSAL), *(("hf_classifier", name) for name in CLASSIFIERS)]


def network(kind: str, architecture: str, **args: Any) -> Network:
    """On sequences of 12 of 20 tokens; a classifier has three classes."""
    tokens = {"tokens": 20} if kind == "hf_classifier" else {}
    built = part("network", kind, {"architecture": architecture, **tokens, **args})
    return Network(built, (12,), 3 if tokens else 20)


def tokens(count: int = 4, length: int = 12, of: int = 20) -> torch.Tensor:
    return torch.randint(0, of, (count, length), generator=torch.Generator().manual_seed(1))


# ------------------------------------------------------------------------------------------------------------- networks


@pytest.mark.parametrize(("kind", "architecture"), ALL)
def test_a_network_is_that_of_transformers(kind: str, architecture: str) -> None:
    """As torch draws it there, nothing dropped out, and with the logits of its own class, which loads its state."""
    module, x = build(network(kind, architecture)), tokens()
    assert torch.equal(module.train()(x), module.eval()(x))
    assert module(x).shape == ((4, 12, 20) if kind == "hf_causal" else (4, 3))
    there = alone(module, in_its_layout(module, module.state_dict()))
    assert torch.equal(there(x).logits, module(x))
    assert [*in_its_layout(module, in_its_layout(module, module.state_dict())).values()][1].equal(
        [*module.state_dict().values()][1]
    )
    one, same, other = (initial(network(kind, architecture), seed) for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("architecture", CAUSAL)
def test_a_causal_network_does_not_see_what_follows(architecture: str) -> None:
    module, x = build(network("hf_causal", architecture)).eval(), tokens()
    other = x.clone()
    other[:, 6] = (other[:, 6] + 1) % 20
    assert torch.equal(module(x)[:, :6], module(other)[:, :6])
    assert not torch.equal(module(x)[:, 6:], module(other)[:, 6:])


def test_a_decoder_classifies_by_its_last_place_whatever_the_token() -> None:
    module, x = build(network("hf_classifier", "llama")).eval(), tokens()
    before = module(x)
    x[:, :-1] = 0
    assert not torch.equal(module(x), before)
    for last in range(20):
        x[:, -1] = last
        hidden = module.get_submodule("model")(x).last_hidden_state
        assert torch.allclose(module(x), module.get_submodule("score")(hidden[:, -1]))


def test_prunable_are_the_projections_and_a_tied_embedding_where_it_is_included() -> None:
    """Of GPT-2: per block 64 x 192, 64 x 64 and twice 64 x 256; the output is the embedding, 20 x 64."""
    module = build(network("hf_causal", "gpt2"))
    mask, _ = dense(module)
    assert sum(ones.numel() for ones in mask.values()) == 2 * (64 * 192 + 64 * 64 + 2 * 64 * 256) == 98_304
    assert mask["transformer.h.0.mlp.c_fc.weight"].shape == (256, 64), "as linear layers hold it"
    assert aliases(module) == {"lm_head.weight": "transformer.wte.weight"}
    assert dense(module, include=("lm_head.weight",))[0]["transformer.wte.weight"].shape == (20, 64)
    untied = dense(build(network("hf_causal", "gpt2", config={"tie_word_embeddings": False})))[0]
    assert untied["lm_head.weight"].shape == (20, 64)


@pytest.mark.parametrize(
    ("kind", "args"),
    [
        ("hf_causal", {}),
        ("hf_causal", {"architecture": "llama", "config": {"num_key_value_heads": 2}}),
        ("hf_classifier", {}),
    ],
)
def test_every_network_of_transformers_keeps_the_laws(kind: str, args: dict[str, Any]) -> None:
    found = list(run_laws(trainings.STAGES, candidate(kind, args | {"dim": 16}, (6,), 10)))
    assert found
    assert [outcome for outcome in found if outcome.verdict in ("FAILED", "skipped")] == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            "model.args.architecture=gtp2",
            "choose one of bert, gpt2, gpt_neox, llama, mistral, opt, qwen2; did you mean 'gpt2'?",
        ),
        ("model.args.dim=65", "dim must be a multiple of heads"),
        ("model.args.config.n_embedding=5", "model.args.config.n_embedding: is no field of gpt2"),
        ("model.args.config.vocab_size=300", "its vocabulary has 300 tokens, and the data set 256"),
        ("model.args.config.n_positions=5", "it has 5 positions, and sequences are of 64 tokens"),
        ("model.args.config.auto_map={a: b}", "model.args.config.auto_map: is no field of gpt2"),
        ("model.args.config._attn_implementation=x/y", "_attn_implementation: is no field of gpt2"),
        ("model.args.config.activation_function=nothing", "transformers cannot build it"),
        ("model.args.wide=5", "takes no argument 'wide'"),
        ("measure=induction", "model=hf_causal has none"),
    ],
)
def test_what_cannot_be_built_is_said_in_one_line(refusal: Callable[[list[str]], str], words: str, line: str) -> None:
    assert line in refusal(["model=hf_causal", *SMOKE, words])


# --------------------------------------------------------------------------------------------------------- from folders


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What transformers itself writes."""
    hf, folder = library(), tmp_path_factory.mktemp("models")
    sizes = {"vocab_size": 256, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    small = sizes | {"intermediate_size": 48, "max_position_embeddings": 64}
    torch.manual_seed(3)
    of_gpt2 = {"n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
    hf.GPT2LMHeadModel(hf.GPT2Config(**sizes, **of_gpt2)).save_pretrained(folder / "gpt2")
    hf.LlamaForCausalLM(hf.LlamaConfig(**small, num_key_value_heads=2)).bfloat16().save_pretrained(folder / "llama")
    hf.BertForMaskedLM(hf.BertConfig(**small)).save_pretrained(folder / "bert")
    hf.BertForSequenceClassification(hf.BertConfig(**small, num_labels=5)).save_pretrained(folder / "five")
    hf.GPT2Model(hf.GPT2Config(**sizes, **of_gpt2)).save_pretrained(folder / "headless")
    return folder


@pytest.mark.parametrize(
    ("name", "auto"),
    [
        ("gpt2", "AutoModelForCausalLM"),
        ("llama", "AutoModelForCausalLM"),
        ("five", "AutoModelForSequenceClassification"),
    ],
)
def test_a_folder_comes_back_as_the_network_it_was(folders: Path, tmp_path: Path, name: str, auto: str) -> None:
    assert cli(["ticket", "import", str(folders / name), "--to", str(tmp_path / "t")]) == 0
    assert cli(["ticket", "verify", str(tmp_path / "t")]) == 0
    there = getattr(library(), auto).from_pretrained(folders / name, dtype=torch.float32).eval()
    x = tokens(length=64, of=256)
    assert torch.allclose(lt.load_ticket(tmp_path / "t")(x), there(x).logits, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "lacks"), [("bert", "bert.pooler.dense.weight"), ("gpt2", "score.weight"), ("headless", "score.weight")]
)
def test_a_head_that_is_missing_is_drawn_and_named(folders: Path, tmp_path: Path, name: str, lacks: str) -> None:
    def state(seed: int) -> dict[str, torch.Tensor]:
        said = import_folder(folders / name, tmp_path / f"{seed}", "hf_classifier", 20, 3, seed)
        assert said[0].startswith(f"drawn from seed {seed}, for the folder lacks them: {lacks}")
        return lt.load_ticket(tmp_path / f"{seed}").state_dict()

    one, other = state(0), state(1)
    differ = {key for key in one if not torch.equal(one[key], other[key])}
    assert lacks in differ
    assert all(key.startswith(("score.", "classifier.", "bert.pooler.")) for key in differ)


def broken(folder: Path, what: str) -> None:
    """Damages a folder of GPT-2."""
    config, weights = folder / "config.json", folder / "model.safetensors"
    fields, tensors = json.loads(config.read_text()), load_file(weights)
    match what:
        case "pickled":
            torch.save(tensors, folder / "pytorch_model.bin")
            weights.unlink()
        case "no json":
            config.write_text("{")
        case "folder":
            config.unlink()
            config.mkdir()
        case "unknown":
            config.write_text(json.dumps(fields | {"model_type": "deepseek_v9"}))
        case "quantised":
            config.write_text(json.dumps(fields | {"quantization_config": {"bits": 4}}))
        case "endless":
            config.write_text(json.dumps(fields | {"n_layer": 10**9}))
        case "deep":
            config.write_text(json.dumps(fields | {"n_layer": 9999}))
        case "wide":
            config.write_text(json.dumps(fields | {"n_embd": 2**20}))
        case "words":
            config.write_text(json.dumps(fields | {"n_embd": "import os"}))
        case "llama":
            config.write_text(
                json.dumps({"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 256})
            )
        case "no list":
            config.write_text(json.dumps(fields | {"architectures": 5, "id2label": 5}))
        case "nan":
            tensors["transformer.ln_f.bias"][0] = torch.nan
            save_file(tensors, weights)
        case "short":
            weights.write_bytes(weights.read_bytes()[:-1])
        case "integers":
            save_file(tensors | {"transformer.wpe.weight": tensors["transformer.wpe.weight"].to(torch.int8)}, weights)
        case "missing":
            del tensors["transformer.h.1.mlp.c_fc.weight"]
            save_file(tensors, weights)


@pytest.mark.parametrize(
    ("what", "line"),
    {
        "pickled": "there is no model.safetensors in it: it must have config.json and model.safetensors",
        "no json": "config.json: it is not JSON",
        "folder": "config.json is not a file",
        "unknown": "architecture=deepseek_v9: choose one of bert,",
        "quantised": "it has quantization_config, and only whole networks in full precision are read",
        "deep": "model.safetensors: has 28 tensors, for 9999 layers by config.json",
        "endless": "layer=1000000000: no network has more than 10,000 layers",
        "wide": "transformer.wte.weight is 256x32, and 256x1048576 by config.json",
        "words": "config.json: cannot be read",
        "llama": "for 32 layers by config.json",
        "nan": "transformer.ln_f.bias has numbers that are not finite",
        "short": "model.safetensors: its tensors do not end where the file ends",
        "integers": "transformer.wpe.weight is of I8: only F32, F16, BF16 are read",
        "no list": "is of no architecture: say what it becomes, --as hf_causal or so",
        "missing": "transformer.h.1.mlp.c_fc.weight is missing: is it of another architecture?",
    }.items(),
)
def test_a_folder_that_is_not_what_it_says_is_refused_in_one_line(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str, line: str
) -> None:
    shutil.copytree(folders / "gpt2", tmp_path / "bad")
    broken(tmp_path / "bad", what)
    capsys.readouterr()
    assert cli(["ticket", "import", str(tmp_path / "bad"), "--to", str(tmp_path / "t")]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said
    assert not (tmp_path / "t").exists()


def test_code_that_a_folder_brings_is_never_run(folders: Path, tmp_path: Path) -> None:
    folder = tmp_path / "code"
    shutil.copytree(folders / "gpt2", folder)
    fields = json.loads((folder / "config.json").read_text())
    fields |= {"auto_map": {"AutoConfig": "mine.Config", "AutoModelForCausalLM": "mine.Model"}}
    (folder / "config.json").write_text(json.dumps(fields | {"_attn_implementation": "someone/kernels"}))
    (folder / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    import_folder(folder, tmp_path / "t", None, None, None, 0)
    lt.load_ticket(tmp_path / "t")
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_is_no_ticket_yet_says_what_makes_one(refusal: Callable[[list[str]], str], folders: Path) -> None:
    line = refusal(["model=hf_causal", *SMOKE, f"ticket={folders / 'gpt2'}"])
    assert line.endswith("there is no card.json in it: lt-sweeps ticket import makes one of it")
    with pytest.raises(Mistake, match="is of GPT2Model: say what it becomes"):
        import_folder(folders / "headless", folders / "nothing", None, None, None, 0)


# --------------------------------------------------------------------------------------------------- pruned and trained


def test_a_key_knows_the_content_of_a_folder_and_not_its_path(folders: Path, tmp_path: Path) -> None:
    import_folder(folders / "gpt2", tmp_path / "one", None, None, None, 0)
    shutil.copytree(folders / "gpt2", tmp_path / "there")
    import_folder(tmp_path / "there", tmp_path / "two", None, None, None, 0)
    weights = load_file(tmp_path / "there" / "model.safetensors")
    weights["transformer.ln_f.bias"][0] = 1.0
    save_file(weights, tmp_path / "there" / "model.safetensors", {"format": "pt"})
    import_folder(tmp_path / "there", tmp_path / "three", None, None, None, 0)
    config = json.loads((folders / "gpt2" / "config.json").read_text()) | {"layer_norm_epsilon": 1e-6}
    shutil.copy(folders / "gpt2" / "model.safetensors", tmp_path / "there")
    (tmp_path / "there" / "config.json").write_text(json.dumps(config))
    import_folder(tmp_path / "there", tmp_path / "four", None, None, None, 0)
    numbers = ("one", "two", "three", "four")
    cells = [composed("model=hf_causal", *SMOKE, f"ticket={tmp_path / number}") for number in numbers]
    one, two, three, four = (cell.levels[0] for cell in cells)
    assert one == two
    assert one.ticket.weights != three.ticket.weights
    assert one.ticket.network == three.ticket.network != four.ticket.network
    assert one.ticket.weights.content == four.ticket.weights.content
    assert "config" in one.ticket.network.build.args, "the network is the ticket's, without model.args"


LOADED = """
import socket, sys
def refuse(*args, **kwargs):
    raise SystemExit("it asks the network")
socket.socket.connect = socket.getaddrinfo = refuse
import torch
from safetensors.torch import load_file
exec(open("README.md").read().partition("```python")[2].partition("```")[0])
there = load_file(sys.argv[1])
assert "lt_sweeps" not in sys.modules
assert torch.allclose(network(there["x"]), there["logits"], rtol=1e-5, atol=1e-6)
weights = dict(model.named_parameters())
print(sum(int((weights[name] == 0).sum()) for name in weights if name.endswith("weight") and weights[name].dim() > 1))
"""


@pytest.mark.parametrize(("name", "words"), [("gpt2", ["model=hf_causal"]), ("bert", ["model=hf_classifier"])])
def test_a_pretrained_network_is_pruned_trained_and_loaded_without_this_project(
    folders: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, words: list[str]
) -> None:
    of = (None, None, None) if name == "gpt2" else ("hf_classifier", 20, 2)
    import_folder(folders / name, tmp_path / "ticket", *of, 0)
    words = [*words, f"ticket={tmp_path / 'ticket'}", "control=none,reinit", "prune.rate=0.5", "prune.levels=2", *SMOKE]
    assert main(["-m", *words, "sweep=s", f"paths.output_dir={tmp_path}"]) == 0
    rows = list(csv.DictReader((tmp_path / "s" / "results.csv").read_text().splitlines()))
    assert {row["status"] for row in rows} == {"done"}
    sweep = lt.open(tmp_path / "s")
    start, run = lt.load_ticket(tmp_path / "ticket"), sweep.ticket(level=2, control="none")
    begun, mask = run.state(0), run.mask
    assert isinstance(run.expression.ticket.weights, Pretrained)
    for key, value in start.state_dict().items():  # rewound to the folder
        assert torch.equal(begun[key], torch.where(mask[key], value, 0) if key in mask else value)
    assert isinstance(sweep.ticket(level=2, control="reinit").expression.ticket.weights, Init)
    capsys.readouterr()
    export = ["ticket", "export", str(tmp_path / "s"), "level=2", "control=none", "--for", "huggingface"]
    assert cli([*export, "--to", str(tmp_path / "out")]) == 0
    assert "transformers: logits of 64 examples as here, to" in capsys.readouterr().out
    module, x = run.module(), tokens(length=run.expression.ticket.network.shape[0], of=256)
    with torch.no_grad():
        save_file({"x": x, "logits": module(x)}, tmp_path / "there.safetensors")
    done = subprocess.run(
        [sys.executable, "-I", "-c", LOADED, str(tmp_path / "there.safetensors")],
        cwd=tmp_path / "out",
        env={**os.environ, "HF_HUB_OFFLINE": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) >= sum(int((~ones).sum()) for ones in mask.values()) > 0
    assert lt.load_ticket(tmp_path / "out").state_dict().keys() == module.state_dict().keys()


def test_other_networks_are_not_written_for_transformers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-m", "model=lenet_digits", *SMOKE, "prune.levels=1", "sweep=s", f"paths.output_dir={tmp_path}"]) == 0
    capsys.readouterr()
    assert cli(["ticket", "export", str(tmp_path / "s"), "level=1", "--for", "huggingface"]) == 2
    assert "is for model=hf_causal and model=hf_classifier" in capsys.readouterr().err


def test_another_version_of_transformers_makes_a_result_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["model=hf_classifier", "model.args.dim=16", "prune.levels=0", *SMOKE, f"paths.output_dir={tmp_path}"]
    assert main([*words, "sweep=s"]) == 0
    run = lt.open(tmp_path / "s").ticket(level=0)
    assert run.key in Store(tmp_path / "store", {})
    monkeypatch.setattr(files.importlib.metadata, "version", lambda name: "99.0")
    assert run.key not in Store(tmp_path / "store", {})
