"""Seeded edits of model files on disk, and this repository's own history: is diff ever wrong?

Each edit changes the text of a copy of one of torchvision's or timm's model files, as a hand would:
a bias more, a wider kernel (these change cost, unless the network does not run that line), a
comment, a helper, another name of a class (these change none). The truth is read from the built
modules alone, by hooks on a forward pass: diff has to name exactly the modules whose own parameters
or products changed, and no change of cost where there is none. ``python
benchmarks/diff_files.py [EDITS] [SEED]`` prints the tally. Both sides are counted in this process,
and every tenth edit as ``gadprof diff`` does it, each side in a process of its own. ``--history N``
instead counts four networks by the code of the last N commits and of their parents, and prints how
many differ.
"""

from __future__ import annotations

import importlib
import inspect
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BUILDERS = (
    "torchvision.models.resnet:resnet18", "torchvision.models.squeezenet:squeezenet1_1",
    "torchvision.models.mobilenetv2:mobilenet_v2", "torchvision.models.mnasnet:mnasnet0_5",
    "torchvision.models.shufflenetv2:shufflenet_v2_x0_5", "timm.models.ghostnet:ghostnet_050",
    "timm.models.resnet:resnet10t", "timm.models.efficientnet:efficientnet_lite0",
)  # fmt: skip
COSTLY = {"bias": (r"bias=False", "bias=True"), "kernel": (r"kernel_size=3", "kernel_size=5")}
FREE = ("comment", "helper", "class")
SHAPE = (3, 64, 64)
HISTORY = ("hrnet32", "hrnet48", "gadnet32", "gadnet48")


def main() -> None:
    if sys.argv[1:2] == ["--history"]:
        history(int(sys.argv[2]))
        return
    edits = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    tally: dict[str, list[int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(edits):
            kind = rng.choice((*COSTLY, *FREE))
            builder = BUILDERS[number % len(BUILDERS)]
            outcome = one(builder, kind, rng, Path(folder), number)
            if number % 10 == 9:
                print(f"{number + 1} edits tried", flush=True)
            if outcome is None:
                continue
            costs, right = outcome
            seen = tally.setdefault(f"{kind}, {'cost changes' if costs else 'no cost'}", [0, 0])
            seen[0] += 1
            seen[1] += right
            if not right:
                print(f"edit {number}: {kind} of {builder} was not told as it is", flush=True)
    for kind, (tried, right) in sorted(tally.items()):
        print(f"{kind}: {tried} tried, {right} right")
    tried, right = (sum(column) for column in zip(*tally.values(), strict=True))
    print(f"all: {tried} tried, {right} right")


def one(
    builder: str, kind: str, rng: random.Random, folder: Path, number: int
) -> tuple[bool, bool] | None:
    """Whether an edit changes cost, and is told as it is; None where it builds no network."""
    import gadprof

    module, _, name = builder.partition(":")
    source = standing_alone(module)
    edited = edit(source, kind, rng)
    if edited is None:
        return None
    paths = [folder / f"{side}{number}.py" for side in "ab"]
    for path, text in zip(paths, (source, edited), strict=True):
        path.write_text(text)
    before, after = (f"{path}:{name}" for path in paths)
    try:
        truth = changed(figures(before), figures(after))
        found = (
            gadprof.diff(before, after, input=SHAPE) if number % 10 == 0 else here(before, after)
        )
    except (gadprof.GadprofError, RuntimeError):
        return None  # a kernel without its padding, say
    told = {
        item.path for item in found.changes if item.difference["params"] or item.difference["macs"]
    }
    costs = {key for key in ("params", "macs") if found.difference[key]}
    return bool(truth), told == truth and bool(costs) == bool(truth)


def here(before: str, after: str) -> Any:
    """The diff of two models that are counted in this process, which has imported torch already."""
    from gadprof.gate.diff import compare_sides, side_of
    from gadprof.models.counting import trace_here

    return compare_sides(
        *(side_of(word, trace_here(word, shapes=(SHAPE,))) for word in (before, after))
    )


def standing_alone(module: str) -> str:
    """A model file's text that runs in any folder: its imports absolute, nothing registered."""
    text = inspect.getsource(importlib.import_module(module))
    parents = module.split(".")
    text = re.sub(
        r"^(\s*)from (\.+)([\w.]*) import",
        lambda m: f"{m[1]}from {'.'.join([*parents[: -len(m[2])], *filter(None, [m[3]])])} import",
        text,
        flags=re.MULTILINE,
    )
    return re.sub(r"^@register_model.*\n", "", text, flags=re.MULTILINE)


def edit(text: str, kind: str, rng: random.Random) -> str | None:
    """The text with one edit, or None where there is no place for it."""
    if kind in COSTLY:
        pattern, put = COSTLY[kind]
        places = list(re.finditer(pattern, text))
        if not places:
            return None
        place = rng.choice(places)
        return text[: place.start()] + put + text[place.end() :]
    if kind == "comment":
        lines = text.split("\n")
        places = [n for n, line in enumerate(lines) if line.startswith(("class ", "def "))]
        lines.insert(rng.choice(places), "# looked at again")
        return "\n".join(lines)
    if kind == "helper":
        return f"{text}\n\ndef spare(x: int) -> int:\n    return x + {rng.randrange(9)}\n"
    names = re.findall(r"^class (\w+)\(nn\.Module\)", text, flags=re.MULTILINE)
    if not names:
        return None
    name = rng.choice(names)
    return re.sub(rf"\b{name}\b", f"{name}Again", text)


def figures(model: str) -> dict[str, tuple[list[Any], int]]:
    """Each module's own parameters by name and shape, and the MACs of its own product."""
    import torch

    from gadprof.models.sources import build_module, resolve

    network = build_module(resolve(model)).eval()
    products: dict[str, int] = {}

    def count(path: str) -> Any:
        def hook(module: Any, _inputs: Any, output: Any) -> None:
            weight = module.weight
            products[path] = output.numel() // weight.shape[0] * weight.numel()

        return hook

    for path, module in network.named_modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)):
            module.register_forward_hook(count(path))
    with torch.no_grad():
        network(torch.zeros(1, *SHAPE))
    return {
        path: (
            [(name, tuple(p.shape)) for name, p in module.named_parameters(recurse=False)],
            products.get(path, 0),
        )
        for path, module in network.named_modules()
    }


def changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    """The modules whose own parameters or products are others."""
    nothing: tuple[list[Any], int] = ([], 0)
    return {
        path for path in before | after if before.get(path, nothing) != after.get(path, nothing)
    }


def history(commits: int) -> None:
    """Count by the code of each of the last commits, and diff each with its parent's counts."""
    root = Path(__file__).resolve().parents[1]
    listed = git(root, "rev-list", "--first-parent", f"--max-count={commits + 1}", "HEAD").split()
    differ = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        counts = [counted(root, commit, Path(folder)) for commit in listed]
        for commit, after, before in zip(listed, counts, counts[1:], strict=False):
            for model in HISTORY:
                if after is None or before is None:
                    continue
                tried += 1
                done = subprocess.run(
                    [sys.executable, "-m", "gadprof", "diff", before[model], after[model],
                     "--fail-on", "any"], capture_output=True, text=True, cwd=root,
                )  # fmt: skip
                if done.returncode:
                    differ += 1
                    print(f"{commit[:8]} {model}: {done.stderr.strip() or done.stdout[:200]}")
    print(f"{tried} comparisons over {commits} commits, {differ} told as a change")


def counted(root: Path, commit: str, folder: Path) -> dict[str, str] | None:
    """Files with each network's figures by a commit's own code; None where it cannot run."""
    tree = folder / commit
    tree.mkdir()
    packed = subprocess.run(["git", "archive", commit, "gadprof"], cwd=root, capture_output=True)
    subprocess.run(["tar", "x"], cwd=tree, input=packed.stdout, check=True)
    done = subprocess.run(
        [sys.executable, "-m", "gadprof", "compare", *HISTORY, "--format", "json",
         "--store", "off"], cwd=tree, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        return None
    document = json.loads(done.stdout)
    paths = {}
    for row in document["rows"]:
        path = tree / f"{row['model']}.json"
        path.write_text(json.dumps({**document, "rows": [row]}))
        paths[row["model"]] = str(path)
    return paths


def git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, capture_output=True, text=True, check=True
    ).stdout


if __name__ == "__main__":
    main()
