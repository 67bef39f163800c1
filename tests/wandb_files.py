"""What is in an offline run of W&B, read from its own file."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import Record

BLOCK, HEADER = 32 * 1024, struct.Struct("<IHB")  # LevelDB's log: CRC-32 of type and data, length, type
FULL, LAST = 1, 4


def records(path: Path) -> list[Record]:
    """Every whole record of a .wandb file, checked; what a killed process began to write is not one."""
    data, found, parts = path.read_bytes(), [], b""
    assert data[:4] in (b":W&B", b"")
    at = 7
    while at + HEADER.size <= len(data):
        if BLOCK - at % BLOCK < HEADER.size:
            at += BLOCK - at % BLOCK
            continue
        crc, length, kind = HEADER.unpack_from(data, at)
        content = data[at + HEADER.size : at + HEADER.size + length]
        if len(content) < length:
            break
        assert zlib.crc32(bytes([kind]) + content) == crc
        at, parts = at + HEADER.size + length, parts + content
        if kind in (FULL, LAST):
            record = Record()
            record.ParseFromString(parts)
            found.append(record)
            parts = b""
    return found


@dataclass
class OfflineRun:
    """One run, as it would be uploaded."""

    id: str = ""
    group: str = ""
    job_type: str = ""
    name: str = ""
    project: str = ""
    tags: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, str] = field(default_factory=dict)  # name or pattern -> step metric
    artifacts: list[Any] = field(default_factory=list)
    code: int | None = None  # None: not finished


def read(path: Path) -> OfflineRun:
    """A run from its .wandb file."""
    found = OfflineRun()
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run = record.run
            found.id, found.group, found.job_type = run.run_id, run.run_group, run.job_type
            found.name, found.project, found.tags = run.display_name, run.project, list(run.tags)
            found.config = {item.key: json.loads(item.value_json) for item in run.config.update}
        elif kind == "history":
            items = {"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            found.rows.append({name: value for name, value in items.items() if not name.startswith("_")})
        elif kind == "summary":
            for i in record.summary.update:
                found.summary["/".join(i.nested_key) or i.key] = json.loads(i.value_json)
            found.summary = {name: value for name, value in found.summary.items() if not name.startswith("_")}
        elif kind == "metric":
            found.metrics[record.metric.glob_name or record.metric.name] = record.metric.step_metric
            assert not record.metric.HasField("summary"), "summary= would drop the plain values"
        elif kind == "artifact":
            found.artifacts.append(record.artifact)
        elif kind == "exit":
            found.code = record.exit.exit_code
    return found


def runs(folder: Path) -> list[OfflineRun]:
    """All offline runs of a sweep."""
    return [read(path) for path in sorted(folder.glob("wandb/offline-run-*/*.wandb"))]
