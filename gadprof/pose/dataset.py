"""From persons to batches: crops and targets, the same for a seed whatever the worker count.

A training sample is a function of (seed, epoch, number): the sampler hands out keys that carry the
epoch, so that workers keep no state and a resumed run sees what an uninterrupted one would have.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset, Sampler

from gadprof.errors import DataError
from gadprof.pose import augment, crops, keypoints, targets
from gadprof.pose.coco import Person
from gadprof.pose.pictures import Picture, read_picture

# image, targets, weights
TrainingSample = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class SampleSettings:
    """How a sample is made: input size in pixels, targets, and random changes.

    ``sigma`` is in heatmap cells; None means HRNet's 2 at 64 x 48, in proportion to the height.
    """

    height: int = 256
    width: int = 192
    sigma: float | None = None
    unbiased: bool = False
    augmentation: augment.Augmentation = augment.DEFAULT

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.width / self.height

    @property
    def size(self) -> tuple[int, int]:
        """The input's (width, height) in pixels."""
        return (self.width, self.height)

    @property
    def heatmap_size(self) -> tuple[int, int]:
        """The heatmap's (width, height) in cells."""
        return (self.width // targets.STRIDE, self.height // targets.STRIDE)


class PictureCache:
    """The pictures read last, at most ``limit`` of them."""

    def __init__(self, limit: int = 32) -> None:
        self._limit = limit
        self._pictures: OrderedDict[str, Picture] = OrderedDict()

    def read(self, path: str) -> Picture:
        """A picture, from memory or from its file. Raises DataError."""
        if path in self._pictures:
            self._pictures.move_to_end(path)
            return self._pictures[path]
        picture = read_picture(path)
        if self._limit:
            self._pictures[path] = picture
            if len(self._pictures) > self._limit:
                self._pictures.popitem(last=False)
        return picture


class TrainingSet(Dataset[TrainingSample]):
    """Augmented crops with heatmap targets; asked with the sampler's keys."""

    def __init__(
        self, people: Sequence[Person], settings: SampleSettings, *, seed: int, cache: int = 32
    ) -> None:
        self.people = tuple(people)
        self.settings = settings
        self.seed = seed
        self._cache = PictureCache(cache)

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: int) -> TrainingSample:
        """Image 3 x H x W, targets 17 x H/4 x W/4 and weights (17,) of one key.

        Raises DataError.
        """
        epoch, number = divmod(int(key), len(self.people))
        generator = np.random.default_rng((self.seed, epoch, number))
        image, maps, weights = make_sample(
            self.people[number], self.settings, self._cache, generator
        )
        return torch.from_numpy(image), torch.from_numpy(maps), torch.from_numpy(weights)


def make_sample(
    person: Person,
    settings: SampleSettings,
    cache: PictureCache,
    generator: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """One training sample as arrays. Raises DataError."""
    picture = cache.read(str(person.path))
    drawn = augment.draw(
        crops.crop_of_box(person.box, settings.aspect),
        person.joints,
        settings.aspect,
        settings.augmentation,
        generator,
    )
    joints = person.joints.astype(np.float64)
    if drawn.flip:
        matrix = crops.mirrored(drawn.crop, settings.size, picture.shape[1])
        joints = joints[list(keypoints.FLIP_ORDER)]
    else:
        matrix = crops.affine(drawn.crop, settings.size)
    joints[:, :2] = crops.transform(joints[:, :2], matrix)
    sigma = settings.sigma or targets.default_sigma(settings.heatmap_size[1])
    maps, weights = targets.make_targets(
        joints, settings.heatmap_size, sigma=sigma, unbiased=settings.unbiased
    )
    return crops.normalise(crops.warp(picture, matrix, settings.size)), maps, weights


class EvaluationSet(Dataset[tuple[torch.Tensor, int]]):
    """Plain crops in the order of the persons, each with its number."""

    def __init__(self, people: Sequence[Person], settings: SampleSettings) -> None:
        self.people = tuple(people)
        self.settings = settings
        self._cache = PictureCache()

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int]:
        """Image 3 x H x W of one person, and the person's number. Raises DataError."""
        cut = plain_crop(self.people[number], self.settings, self._cache)
        return torch.from_numpy(crops.normalise(cut)), number


def plain_crop(person: Person, settings: SampleSettings, cache: PictureCache) -> Picture:
    """A person's box at the input's size, nothing changed at random. Raises DataError."""
    picture = cache.read(str(person.path))
    crop = crops.crop_of_box(person.box, settings.aspect)
    return crops.warp(picture, crops.affine(crop, settings.size), settings.size)


def write_crops(people: Sequence[Person], settings: SampleSettings, folder: str, most: int) -> None:
    """Write the first persons' crops, at most ``most``, as pictures into a folder.

    Raises DataError.
    """
    cache = PictureCache()
    for number, person in enumerate(people[:most]):
        cv2.imwrite(f"{folder}/{number:03d}.png", plain_crop(person, settings, cache))


class EpochSampler(Sampler[int]):
    """A seeded shuffle of every epoch, split among processes, as keys that carry the epoch."""

    def __init__(self, size: int, *, seed: int, rank: int = 0, world: int = 1) -> None:
        if size <= 0:
            raise DataError("the training set is empty; check --data and --split")
        self._size = size
        self._seed = seed
        self._rank = rank
        self._world = world
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch comes next; Lightning calls this before each."""
        self._epoch = epoch

    def __len__(self) -> int:
        return -(-self._size // self._world)

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self._seed, self._epoch)).permutation(self._size)
        # every process takes as many; the first few are repeated where they do not divide
        padded = np.resize(order, len(self) * self._world)
        for number in padded[self._rank :: self._world].tolist():
            yield self._epoch * self._size + number


def training_loader(
    people: Sequence[Person],
    settings: SampleSettings,
    *,
    batch: int,
    seed: int,
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
    pin_memory: bool = False,
) -> DataLoader[TrainingSample]:
    """Batches of training samples, shuffled and augmented from ``seed``."""
    dataset = TrainingSet(people, settings, seed=seed)
    return DataLoader(
        dataset,
        batch_size=batch,
        sampler=EpochSampler(len(dataset), seed=seed, rank=rank, world=world),
        num_workers=workers,
        worker_init_fn=_one_thread,
        persistent_workers=workers > 0,
        pin_memory=pin_memory,
    )


def evaluation_loader(
    people: Sequence[Person], settings: SampleSettings, *, batch: int, workers: int = 0
) -> DataLoader[tuple[torch.Tensor, int]]:
    """Batches of plain crops in order."""
    return DataLoader(
        EvaluationSet(people, settings),
        batch_size=batch,
        num_workers=workers,
        worker_init_fn=_one_thread,
    )


def _one_thread(_: int) -> None:
    """Keep a worker to its own core."""
    cv2.setNumThreads(0)
