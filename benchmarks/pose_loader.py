"""How many training crops a second does one core make, pictures decoded each time or kept?

Times the whole sample (augmentation, 256 x 192 warp, normalisation, 17 heatmap targets) on one
thread, in CPU seconds, with JPEG decoding and from decoded pictures. Exit code 1 below ``--least``
crops a CPU second for the crop-and-target pipeline (decoded pictures).

    python benchmarks/pose_loader.py --data DIR [--quick]
"""

from __future__ import annotations

import time

import click
import cv2
import numpy as np

from gadprof.pose.coco import find_split, load_people
from gadprof.pose.dataset import PictureCache, SampleSettings, make_sample
from gadprof.results.plain import describe_machine


@click.command()
@click.option("--data", required=True, metavar="DIR", help="COCO layout, or pictures and JSON.")
@click.option("--crops", default=1200, show_default=True, help="Crops to time.")
@click.option("--least", default=150.0, show_default=True, help="Crops a CPU second to reach.")
@click.option("--quick", is_flag=True, help="A tenth of the crops.")
def main(data: str, crops: int, least: float, quick: bool) -> None:
    """Time the loader on one thread."""
    cv2.setNumThreads(0)
    people = load_people(find_split(data, "val2017"))
    count = max(len(people), crops // 10 if quick else crops)
    rates: dict[str, float] = {}
    for name, limit in (("decoded pictures", 10_000), ("JPEG decoded each time", 0)):
        cache = PictureCache(limit)
        for person in people:
            cache.read(str(person.path))
        start = time.process_time()
        for number in range(count):
            generator = np.random.default_rng((0, number))
            make_sample(people[number % len(people)], SampleSettings(), cache, generator)
        rates[name] = count / (time.process_time() - start)
        click.echo(f"{name}: {rates[name]:.0f} crops a CPU second, one thread, {count} crops")
    click.echo(describe_machine().cpu)
    if rates["decoded pictures"] < least:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
