"""`lt-sweeps ticket export | import | slim | verify | train | list`."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lt_sweeps.columns import FIGURES, LABELS
from lt_sweeps.config import archive
from lt_sweeps.config.archive import is_key
from lt_sweeps.errors import Mistake
from lt_sweeps.metrics import of_row
from lt_sweeps.output import printable
from lt_sweeps.parser import Parser
from lt_sweeps.report import table
from lt_sweeps.ticket_files import card as cards
from lt_sweeps.ticket_files.card import Card
from lt_sweeps.ticket_files.header import header
from lt_sweeps.tickets.promise import data_folder, require

if TYPE_CHECKING:
    from lt_sweeps.deploy.form import Form
    from lt_sweeps.sweeps.notebook import Run

USAGE = """lt-sweeps ticket list [FOLDER]                      the tickets of a sweep, or those laid down below a folder
       lt-sweeps ticket export SWEEP level=3 seed=0 [--to FOLDER] [--trained] [--as-seed]
       lt-sweeps ticket export KEY [--to FOLDER] [--trained] [--as-seed]
       lt-sweeps ticket export ... --trained --start 0       the trained weights, to be trained on: ticket= with them
       lt-sweeps ticket export ... --for csr|compact|onnx [--batch 1,32] [--threads 1] [--data FOLDER]
       lt-sweeps ticket export ... --for huggingface [--data FOLDER]
       lt-sweeps ticket import FOLDER --to FOLDER [--as hf_classifier] [--length 64] [--classes 2] [--seed 0]
       lt-sweeps ticket slim FOLDER --to FOLDER [--start STEP]
       lt-sweeps ticket verify FOLDER...
       lt-sweeps ticket train FOLDER"""


FORMS = ("csr", "compact", "onnx", "huggingface")
KINDS = ("hf_causal", "hf_classifier")
EXAMPLES = 64  # on which a form is checked before it is written


def parser() -> Parser:
    """The parser of `lt-sweeps ticket`."""
    top = Parser("lt-sweeps ticket", usage=USAGE)
    verbs = top.add_subparsers(dest="verb", prog="lt-sweeps ticket", required=True, parser_class=Parser)
    export = verbs.add_parser("export", help="lay a stored ticket down as a folder: safetensors and a card")
    export.add_argument("what", help="a sweep's folder, or the beginning of a training's key")
    export.add_argument("where", nargs="*", help="column=value of its results.csv, until one row is meant")
    export.add_argument("--to", type=Path, help="the new folder (default: tickets/<what it is>)")
    export.add_argument("--trained", action="store_true", help="what the ticket was trained to, not where it began")
    export.add_argument("--as-seed", action="store_true", help="the seed that draws its weights, not the weights")
    export.add_argument("--start", type=_step_of, help="with --trained: to be trained on, from this step of a schedule")
    export.add_argument(
        "--for", dest="form", choices=FORMS, help="beside it the trained network in this form, measured"
    )
    export.add_argument("--batch", type=_sizes_of, default=(1, 32), help="batches that are measured (default: 1,32)")
    export.add_argument("--threads", type=_size_of, default=1, help="of what is measured (default: 1)")
    export.add_argument("--data", type=Path, help="where data sets lie (default: LT_SWEEPS_DATA, or data)")
    export.add_argument("--runs", type=Path, default=Path("runs"), help="where sweeps lie, for a key (default: runs)")
    taken = verbs.add_parser(
        "import", help="a local folder of Hugging Face's transformers as a ticket, all weights kept"
    )
    taken.add_argument("folder", type=Path, metavar="FOLDER", help="config.json and model.safetensors")
    taken.add_argument("--to", type=Path, required=True, help="the new folder")
    taken.add_argument("--as", dest="kind", choices=KINDS, help="the network it becomes (default: as the folder says)")
    taken.add_argument("--length", type=_size_of, help="tokens of an example (default: as many as it has positions)")
    taken.add_argument("--classes", type=_size_of, help="of a classifier (default: as the folder says)")
    taken.add_argument("--seed", type=_step_of, default=0, help="of weights that the folder lacks (default: 0)")
    slim = verbs.add_parser("slim", help="a ticket of channels as a smaller network, to train or to look at")
    slim.add_argument("folder", type=Path, metavar="FOLDER")
    slim.add_argument("--to", type=Path, required=True, help="the new folder")
    slim.add_argument("--start", type=_size_of, help="the step at which its schedule begins (default: the ticket's)")
    verify = verbs.add_parser("verify", help="check every byte of tickets, build their networks, evaluate trained ones")
    train = verbs.add_parser("train", help="train a ticket as its card says, and compare with what it promises")
    for verb in (verify, train):
        verb.add_argument("--data", type=Path, help="where data sets lie (default: LT_SWEEPS_DATA, or data)")
        verb.add_argument("--trust", action="store_true", help="import and call a network's constructor by its path")
    verify.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    train.add_argument("folder", type=Path, metavar="FOLDER")
    train.add_argument("--runs", type=Path, default=Path("runs"), help="whose store keeps the result (default: runs)")
    train.add_argument("--accelerator", choices=("auto", "cpu", "gpu", "mps"), default="auto")
    listed = verbs.add_parser("list", help="the tickets of a sweep, or those laid down below a folder")
    listed.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="(default: runs)")
    return top


def main(arguments: Sequence[str]) -> int:
    """Runs a command; returns the exit code. Raises Mistake."""
    options = parser().parse_args(arguments)
    match options.verb:
        case "export":
            return _export(options)
        case "verify":
            return _verify(options)
        case "import":
            from lt_sweeps.tickets.hugging_face import import_folder

            chosen = options.kind, options.length, options.classes, options.seed
            for line in import_folder(options.folder.expanduser(), options.to.expanduser(), *chosen):
                print(printable(line))
            print(_summary(cards.read(options.to.expanduser())))
            return 0
        case "slim":
            from lt_sweeps.tickets.slim import slim

            for line in slim(options.folder.expanduser(), options.to.expanduser(), options.start):
                print(printable(line))
            print(_summary(cards.read(options.to.expanduser())))
            return 0
        case "train":
            from lt_sweeps.tickets.train import train

            return train(options.folder, options.data, options.runs, options.accelerator, trust=options.trust)
    return _list(options.folder.expanduser())


def _export(options: argparse.Namespace) -> int:
    where = dict(word.split("=", 1) for word in options.where if "=" in word)
    if len(where) < len(options.where):
        raise Mistake("ticket export: write column=value, as in level=3 seed=0")
    from lt_sweeps.sweeps.notebook import Sweep

    if is_key(options.what):
        if where:
            raise Mistake(f"ticket export {options.what}: a key says all, leave out {' '.join(options.where)}")
        past, level = archive.shown_as(options.runs.expanduser(), options.what)
        run = Sweep(past.folder).ticket(key=past.keys[level])
    else:
        run = Sweep(Path(options.what)).ticket(**where)
    row = run.row
    name = f"{row['model']}_{row['dataset']}_level{row['level']}_seed{row['seed']}_{run.key[:6]}"
    name += "_seed" if options.as_seed else ""
    name += "" if options.start is None else "_trained"
    deployed = _deployed(run, options) if options.form else None
    trained = options.trained or deployed is not None
    folder = run.export(
        options.to or Path("tickets") / name, trained=trained, as_seed=options.as_seed, start=options.start
    )
    card = cards.read(folder)
    if deployed is not None:
        from lt_sweeps.deploy.command import write

        write(deployed, folder)
    print(_summary(card))
    if card.seed is not None:
        print(_sizes(card))
    print(f"load it: lt_sweeps.load_ticket({str(folder)!r})")
    if deployed is not None:
        print(f"as {options.form}, without lt_sweeps: {folder / 'README.md'}")
    return 0


def _deployed(run: Run, options: argparse.Namespace) -> Form:
    """The trained network in the form that is asked for, checked on test examples and measured. Raises Mistake."""
    import torch

    from lt_sweeps.datasets.loader import loader
    from lt_sweeps.deploy import command, hugging_face

    data, folder = run.expression.data, data_folder(options.data)
    require(data, folder)
    try:
        examples, _ = next(iter(loader(data, folder, torch.device("cpu")).chunks("test")))
    except (OSError, ValueError) as error:
        raise Mistake(f"ticket export --for {options.form}: no test examples to check it on: {error}") from None
    if options.form == "huggingface":
        return hugging_face.prepare(run.module(), examples[:EXAMPLES], print)
    return command.prepare(run.module(), examples[:EXAMPLES], options.form, options.batch, options.threads, print)


def _size_of(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 up")
    return int(text)


def _step_of(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 up")
    return int(text)


def _sizes_of(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(_size_of(word) for word in text.split(",")))


def _verify(options: argparse.Namespace) -> int:
    bad = 0
    for folder in options.folders:
        try:
            card = cards.read(folder.expanduser())
            print(_summary(card))
            from lt_sweeps.tickets.verify import verify

            for line in verify(card, options.data, trust=options.trust):
                print(f"  {printable(line)}")
        except cards.BadTicket as error:
            bad += 1
            print(f"BAD: {error}")
    return 1 if bad else 0


def _list(folder: Path) -> int:
    if not folder.is_dir():
        raise Mistake(f"{folder}: there is no such folder")
    count = 0
    for path in sorted(folder.rglob(cards.CARD)):
        count += 1
        try:
            print(_summary(cards.read(path.parent)))
        except cards.BadTicket as error:
            print(f"BAD: {error}")
    for sweep in sorted(path.parent for at in ("", "*/") for path in folder.glob(at + archive.CELLS)):
        count += 1
        try:
            rows = _distinct(table.read(sweep))
        except Mistake as error:  # the sweep has only begun
            print(error)
            continue
        print(f"{sweep}")
        for row in rows:
            print(f"  {printable(_row(row))}")
    if not count:
        raise Mistake(f"{folder}: no tickets and no sweeps in it")
    return 0


def _distinct(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first row of each training: cells share their dense network, and more."""
    first: dict[str, dict[str, Any]] = {}
    for row in rows:
        first.setdefault(row["key"], row)
    return list(first.values())


def _row(row: dict[str, Any]) -> str:
    words = [row["model"], row["dataset"], *table.unusual(row)]
    words += [f"{name}={value}" for name, value in row.items() if name not in (*LABELS, *FIGURES) and value is not None]
    remaining, metric = row["weights_remaining"], of_row(row)
    early, end = (row.get(f"{part}_{metric.name}") for part in ("early_stop_test", "test"))
    value = end if early is None else early
    kept = row["status"] if remaining is None else f"{remaining:6.2f} %"
    figures = f"{row['key'][:8]}  {kept}  test {'-' if value is None else value:>8}"
    return f"{figures}  level={row['level']} seed={row['seed']}  {' '.join(words)}"


def _summary(card: Card) -> str:
    """A ticket in one line."""
    fields = card.fields
    here = sum(len(content) for content in (card.content, card.mask))
    drawn = "" if card.seed is None else f" drawn by seed {card.seed.seed}"
    bits, _ = header(card.mask)
    kept = sum(cards.kept(card.mask, entry) for entry in bits.values())
    total = sum(math.prod(shape) for shape in card.shapes.values())
    return printable(
        f"{card.folder}: {fields['title'][:100]}; {fields['kind']} weights at step {fields['start']}{drawn}, "
        f"{kept:,} of {total:,} kept ({100 * kept / max(1, total):.2f} %), {here:,} bytes"
    )


def _sizes(card: Card) -> str:
    """What a seed saves, in one line."""
    here, *others = card.sizes.items()
    words = [f"{size / here[1]:.1f} x smaller than {name} ({size:,} bytes)" for name, size in others]
    return f"{here[0]}: {here[1]:,} bytes, {', '.join(words)}"
