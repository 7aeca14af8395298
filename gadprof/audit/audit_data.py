"""The kept data of an audit of many models: read back, checked, and merged with newer audits.

Promises: an entry that is not audited again stays as it was written, byte for byte; entries stand
in the list's order; a model that has left the list is dropped. Refuses to merge counts of other
versions, or of other counters, than the kept ones: then the whole list has to run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gadprof.audit.audit import Audit, AuditRow
from gadprof.audit.ledger import Difference, Item
from gadprof.errors import OutputError, UnknownNameError, nearest
from gadprof.results.files import read_json
from gadprof.results.plain import SCHEMA_VERSION

Data = Mapping[str, Any]

_ANEW = "run the whole list with: gadprof audit --list -o PAGE.md"


def read_data(path: str | Path) -> Data:
    """The data beside a page. Raises OutputError where it is absent or of another kind."""
    if not Path(path).exists():
        raise OutputError(f"there is no data to merge into at {str(path)!r}; {_ANEW}")
    data: Any = read_json(path, "data", OutputError, way_out=_ANEW)
    if not isinstance(data, dict) or not {"models", "versions", "refused"} <= set(data):
        raise OutputError(f"{str(path)!r} is not the data of an audit list; {_ANEW}")
    if data.get("schema_version") != SCHEMA_VERSION:
        raise OutputError(
            f"{str(path)!r} has schema version {data.get('schema_version')}, this is "
            f"{SCHEMA_VERSION}; {_ANEW}"
        )
    try:
        audits_of(data)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise OutputError(f"{str(path)!r} is damaged ({error}); {_ANEW}") from error
    return data


def check_mergeable(data: Data, versions: Mapping[str, str], backends: Sequence[str]) -> None:
    """Refuse other versions or other counters than the data's. Raises OutputError."""
    kept = data["versions"]
    changed = [
        f"{name} {kept.get(name, 'absent')} there, {versions.get(name, 'absent')} here"
        for name in dict.fromkeys([*kept, *versions])
        if kept.get(name) != versions.get(name)
    ]
    if changed:
        raise OutputError(f"the kept audit is of other versions ({'; '.join(changed)}); {_ANEW}")
    counters = {tuple(row["name"] for row in item["backends"]) for item in data["models"]}
    if counters - {tuple(backends)}:
        raise OutputError(
            f"the kept audit is of the counters {', '.join(sorted({*sum(counters, ())}))}, not of "
            f"{', '.join(backends)}; {_ANEW}"
        )


def missing_from(data: Data, models: Iterable[str]) -> tuple[str, ...]:
    """The models of the list that the data does not hold, in the list's order."""
    held = {item["model"] for item in data["models"]} | set(data["refused"])
    return tuple(name for name in models if name not in held)


def chosen(names: Sequence[str], models: Iterable[str]) -> tuple[str, ...]:
    """Names that are on the list, in the list's order. Raises UnknownNameError for another."""
    known = tuple(models)
    for name in names:
        if name not in known:
            raise UnknownNameError(
                f"{name!r} is not on the list of audited models"
                + (nearest(name, known) or f"; it begins with {', '.join(known[:4])}")
            )
    return tuple(name for name in known if name in set(names))


def merge(old: Data, new: Data, models: Iterable[str]) -> dict[str, Any]:
    """The old data with the new entries put in, and those no longer on the list left out."""
    order = tuple(models)
    entries = {item["model"]: item for item in old["models"]}
    refused = dict(old["refused"])
    for name in new["refused"]:
        entries.pop(name, None)
    for item in new["models"]:
        refused.pop(item["model"], None)
    entries |= {item["model"]: item for item in new["models"]}
    refused |= new["refused"]
    return {
        **new,
        "models": [entries[name] for name in order if name in entries],
        "refused": {name: refused[name] for name in order if name in refused},
    }


def audits_of(data: Data) -> tuple[Audit, ...]:
    """The audits of kept data; module paths are folded as they were written."""
    return tuple(
        Audit(
            item["model"],
            tuple(tuple(shape) for shape in item["input_shapes"]),
            item["batch"],
            item["ours"],
            item["params"],
            item["note"],
            tuple(_row(row) for row in item["backends"]),
            item.get("uncovered", {}),
        )
        for item in data["models"]
    )


def _row(row: Data) -> AuditRow:
    # an error beside a number is why that number is not explained
    answered = row["reported"] is not None
    return AuditRow(
        row["name"],
        row["distribution"],
        row["version"],
        row["reported"],
        row["unit"],
        row["ours"],
        tuple(_difference(item) for item in row["differences"]),
        row["residual"],
        row["params"],
        tuple(row["uncovered"].items()),
        None if answered else row["error"],
        row["error"] if answered else None,
    )


def _difference(item: Data) -> Difference:
    operations = tuple(
        Item(part["operation"], part["calls"], part["amount"], (part["modules"],))
        for part in item["operations"]
    )
    return Difference(item["cause"], operations, item["amount"])
