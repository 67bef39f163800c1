"""`lt-sweeps store show`: what a record or a blob is, what it was made from, and which sweeps show it."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lt_sweeps.config import archive
from lt_sweeps.errors import Mistake
from lt_sweeps.foreign.files import ABSENT, differs
from lt_sweeps.metrics import of_row
from lt_sweeps.report.table import unusual
from lt_sweeps.store.lease import Leases
from lt_sweeps.store.store import Store
from lt_sweeps.store_tools.survey import Survey, files, size, survey, sweeps_beside
from lt_sweeps.ticket_files.header import BadFile, header

WIDTH = 112
MOST_LINKS = 6  # of a chain that are shown; of a longer one those in the middle are counted


def show(root: Path, prefix: str) -> dict[str, Any]:
    """Describes the one record or blob whose name begins with `prefix`. Raises Mistake if none does, or several do."""
    surveyed = survey(root, files(root, "record"))
    blobs = {file.name: file for file in files(root, "blob")}
    matches = [name for name in sorted({*surveyed.records, *surveyed.damaged, *blobs}) if name.startswith(prefix)]
    if not matches:
        raise Mistake(f"{root}: nothing in it has a name that begins with {prefix!r}")
    if len(matches) > 1:
        beginnings = ", ".join(name[: len(prefix) + 4] for name in matches[:4])
        raise Mistake(f"{root}: {len(matches)} names begin with {prefix!r} ({beginnings} ...): give more of it")
    (name,) = matches
    if name in surveyed.damaged:
        raise Mistake(
            f"{root}: record {name} is damaged ({surveyed.damaged[name]}); a sweep that needs it computes it again"
        )
    return _record(root, name, surveyed) if name in surveyed.records else _blob(blobs[name].path, surveyed)


def _record(root: Path, key: str, surveyed: Survey) -> dict[str, Any]:
    record = surveyed.records[key]
    shown = {shown: _shown(root, shown, surveyed) for shown in (key, *_descendants(key, surveyed))}
    holder = Leases(root).holders().get(key)
    blobs = {name: {"sha256": blob, "bytes": _bytes(root, blob)} for name, blob in record["blobs"].items()}
    steps = [r["node"]["step"] for r in surveyed.records.values() if r["node"].get("run") == {"key": key}]
    return {
        "record": key,
        "is": record["node"].get("node", "?"),
        "valid": surveyed.holds(key),
        "node": {name: value for name, value in record["node"].items() if name != "node"},
        "result": {name: value for name, value in record["result"].items() if name != "history"},
        "evaluations": len(record["result"].get("history", [])),
        "made_from": [_one_line(link, surveyed) for link in chain(key, surveyed)],
        "read": record.get("files", {}),
        "blobs": blobs,
        "snapshots": sorted(steps),
        "fingerprint": record["fingerprint"],
        "seconds": Store(root).load_timing(key).get("seconds"),
        "shown_by": shown[key],
        "on_the_way_to": [line for other, lines in shown.items() if other != key for line in lines],
        "lease": None if holder is None else f"{holder.host}, process {holder.pid}{'' if holder.alive else ', gone'}",
    }


def chain(key: str, surveyed: Survey) -> list[str]:
    """The trainings that a record was made from, one after the other, back to the dense one."""
    links: list[str] = []
    while (parent := _parent(key, surveyed)) is not None and parent not in links:
        links.append(parent)
        key = parent
    return links


def _parent(key: str, surveyed: Survey) -> str | None:
    """Returns the nearest source training of the highest level, which is that of the mask."""
    seen, frontier = {key}, [key]
    nearest: list[str] = []
    while frontier:
        for source in surveyed.records[frontier.pop()]["sources"]:
            if source in surveyed.records and source not in seen:
                seen.add(source)
                is_training = surveyed.records[source]["node"].get("node") == "Train"
                (nearest if is_training else frontier).append(source)
    return max(nearest, key=lambda k: surveyed.records[k]["node"].get("level", 0), default=None)


def _descendants(key: str, surveyed: Survey) -> list[str]:
    """Every record that was made from this one, directly or indirectly."""
    descendants, frontier = dict[str, None](), [key]
    while frontier:
        last = frontier.pop()
        for other, record in surveyed.records.items():
            if last in record["sources"] and other not in descendants:
                descendants[other] = None
                frontier.append(other)
    return list(descendants)


def _shown(root: Path, key: str, surveyed: Survey) -> list[str]:
    """The sweeps beside the store that show a training, with its level and cell."""
    if surveyed.records[key]["node"].get("node") != "Train":
        return []
    places = []
    for folder in (path.parent for path in sweeps_beside(root, f"*/{archive.CELLS}")):
        try:
            cells = archive.cells(folder)
        except Mistake:
            continue
        swept = {name for past in cells for name in past.swept if past.swept[name] != cells[0].swept.get(name)}
        places += [
            f"{folder.name}: level {past.keys.index(key)} of {_cell(past.settings, past.swept, swept)}"
            for past in cells
            if key in past.keys
        ]
    return list(dict.fromkeys(places))


def _cell(config: Mapping[str, Any], values: Mapping[str, str], swept: set[str]) -> str:
    names = ("model", "dataset", "prune", "rewind", "survivors", "control")
    labels = {name: config.get(name, {}).get("name", "?") for name in names}
    words = [labels["model"], labels["dataset"], *unusual(labels), f"seed={config.get('seed')}"]
    words += [f"{name}={values[name]}" for name in values if name in swept - {*names, "seed"}]
    return " ".join(words)


def _one_line(key: str, surveyed: Survey) -> str:
    """A training in a few words."""
    record = surveyed.records[key]
    level, result = record["node"].get("level", 0), record["result"]
    return f"{record['node'].get('node', '?')} {key[:12]} (level {level}, {_outcome(result)})"


def _outcome(result: Mapping[str, Any]) -> str:
    words = [str(result["status"])] if result.get("status", "done") != "done" else []
    if "total" in result:
        words.append(f"{100 * result['kept'] / max(1, result['total']):.2f} % of weights")
    best = result.get("early_stop", result.get("end"))
    if best is not None:
        metric = of_row(best)
        words.append(f"test {metric.shown(best[f'test_{metric.name}'])}")
    if "steps" in result:
        words.append(f"to step {result['steps']:,}")
    if "barrier" in result:
        words.append(f"barrier {result['barrier']:.2f} points over {len(result['alpha'])} points")
    if "step" in result:
        words.append(f"at step {result['step']:,}")
    return ", ".join(words)


def _bytes(root: Path, blob: str) -> int | None:
    path = root / "blob" / blob[:2] / blob
    return path.stat().st_size if path.exists() else None


def _blob(path: Path, surveyed: Survey) -> dict[str, Any]:
    content = path.read_bytes()
    users = [
        f"{record['node'].get('node', '?')} {key[:12]} as its {name}"
        for key, record in surveyed.records.items()
        for name, blob in record["blobs"].items()
        if blob == path.name
    ]
    try:
        tensors = {name: f"{entry.dtype} {list(entry.shape)}" for name, entry in header(content)[0].items()}
    except BadFile:
        tensors = {}
    valid = hashlib.sha256(content).hexdigest() == path.name
    return {"blob": path.name, "bytes": len(content), "valid": valid, "tensors": tensors, "named_by": users}


def _read(name: str, content: str) -> str:
    """A file, listed folder or variable that a record names, as text, with a remark if its content differs now."""
    what = f"{name} (was not there)" if content == ABSENT else f"{name} ({content[:12]})"
    return f"{what}, holds something else now" if differs(name, content, {}) else what


def lines(description: Mapping[str, Any]) -> list[str]:
    """A description as lines of text."""
    if "blob" in description:
        state = "" if description["valid"] else "  DAMAGED: its content differs from its name"
        head = [f"blob {description['blob']}  {size(description['bytes'])}{state}"]
        return [
            *head,
            *_item("holds", _plain(description["tensors"])),
            *_item("named by", description["named_by"] or ["nothing"]),
        ]
    state = "" if description["valid"] else "  NOT VALID: a sweep that needs it computes it again"
    head = [f"{description['is']} {description['record']}{state}"]
    links = description["made_from"]
    if len(links) > MOST_LINKS:
        between = f"... {len(links) - MOST_LINKS + 1} more ..."
        links = [*links[: MOST_LINKS - 2], between, links[-1]]
    seconds = [] if description["seconds"] is None else [f"{description['seconds']:.3g} s"]
    kept = [
        f"{name} {'GONE' if blob['bytes'] is None else size(blob['bytes'])} ({blob['sha256'][:12]})"
        for name, blob in description["blobs"].items()
    ]
    items: dict[str, list[str]] = {
        "node": _plain(description["node"]),
        "result": [
            _outcome(description["result"]),
            *([f"{description['evaluations']} evaluations"] if description["evaluations"] else []),
        ],
        "made from": links,
        "read": [_read(name, content) for name, content in description["read"].items()],
        "keeps": kept,
        "snapshots": [f"step {step:,}" for step in description["snapshots"]],
        "computed": [*_plain(description["fingerprint"]), *seconds],
        "shown by": description["shown_by"],
        "on the way to": description["on_the_way_to"][:MOST_LINKS],
        "lease": [description["lease"]] if description["lease"] else [],
    }
    return [*head, *(line for name, values in items.items() for line in _item(name, values))]


def _plain(value: Mapping[str, Any], before: str = "") -> list[str]:
    """Nested settings as `a.b=c`; another node by the beginning of its key."""
    settings = []
    for name, inner in value.items():
        if isinstance(inner, dict) and inner.keys() == {"key"}:
            settings.append(f"{before}{name}={inner['key'][:12]}")
        elif isinstance(inner, list) and inner and all(isinstance(item, dict) and "key" in item for item in inner):
            settings.append(f"{before}{name}={','.join(item['key'][:12] for item in inner)}")
        elif isinstance(inner, dict):
            settings += _plain(inner, f"{before}{name}.")
        else:
            settings.append(f"{before}{name}={inner}".replace(", ", ","))
    return settings


def _item(name: str, values: list[str]) -> list[str]:
    """The lines of a heading and its values; under some headings each value has its own line."""
    if not values:
        return []
    line_each = name in ("made from", "shown by", "on the way to", "named by")
    wrapped = [
        line for value in (values if line_each else [", ".join(values)]) for line in textwrap.wrap(value, WIDTH - 16)
    ]
    return [f"  {'' if number else name:<14}{line}" for number, line in enumerate(wrapped)]
