"""Simulated pairs of detectors whose true gain is known, with errors that cluster as real ones do.

An image has a difficulty that both models feel, so their results are correlated; a model has good and bad images of its own,
so its errors cluster; objects of an image share few classes; images of a sequence may share both. Confidence follows the
same latent quality as detection. Images are independent draws, so the truth is the mAP over very many of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tasks.measure.evaluation import Detections, Evaluation, Model, Targets

IOUS = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True)
class World:
    """What the images are like. Standard deviations are in units of the latent quality, where an object is found above zero."""

    num_classes: int = 1
    objects: float = 7.0
    """Mean objects an image; overdispersed (negative binomial with this mean, shape 2) and at least one."""
    skill: float = 1.8
    """Mean quality of the reference."""
    image_difficulty: float = 0.8
    object_difficulty: float = 0.9
    own_image: float = 0.35
    """Good and bad images that each model has for itself."""
    own_object: float = 0.5
    own_class: float = 0.0
    false_positives: float = 12.0
    """Mean false detections an image, more on difficult ones."""
    more_false: float = 1.0
    """The candidate's false detections as a multiple of the reference's."""
    surer_false: float = 0.0
    """Added to the quality, and so to the confidence, of the candidate's false detections."""
    main_class: float = 0.5
    """Part of an image's objects and false detections that are of one class of the image; the rest is of any class."""
    sequence: int = 1
    """Images that share difficulty and each model's own luck, as frames of a video do."""
    share_of_sequence: float = 0.9
    """Part of the image's variance that is the sequence's."""


@dataclass(frozen=True)
class Scenes:
    """N images with their objects, which any number of simulated models can be shown."""

    targets: Targets
    hard: np.ndarray
    """(T,) difficulty of each object, its image's included."""
    difficulty: np.ndarray
    """(N,)"""
    main_class: np.ndarray
    """(N,) the class that most of an image's objects have."""


def scenes(world: World, num_images: int, rng: np.random.Generator) -> Scenes:
    difficulty = world.image_difficulty * _by_image(world, num_images, rng)
    num_objects = np.maximum(rng.poisson(rng.gamma(2, world.objects / 2, num_images)), 1)
    img = np.repeat(np.arange(num_images, dtype=np.int32), num_objects)
    main_class = rng.integers(world.num_classes, size=num_images)
    is_main = rng.random(len(img)) < world.main_class
    cls = np.where(is_main, main_class[img], rng.integers(world.num_classes, size=len(img))).astype(np.int32)
    hard = difficulty[img] + world.object_difficulty * rng.normal(size=len(img))
    targets = Targets(img, cls, np.zeros((len(img), 4), np.float32), np.full(len(img), 2500, np.float32))
    return Scenes(targets, hard, difficulty, main_class)


def pair(world: World, num_images: int, advantage: float, seed: int) -> Evaluation:
    """A reference and a candidate whose quality is higher by `advantage`, on the same `num_images` random images."""
    rng = np.random.default_rng(seed)
    shown = scenes(world, num_images, rng)
    models = {
        name: Model(name, {}, detect(world, shown, world.skill + extra, rng, *false))
        for name, extra, *false in (("baseline", 0.0), ("candidate", advantage, world.more_false, world.surer_false))
    }
    names = tuple(f"class {c}" for c in range(world.num_classes))
    images = tuple(f"{i // world.sequence:05d}_{i % world.sequence:05d}.jpg" for i in range(num_images))
    return Evaluation({}, names, ("box",), images, {}, shown.targets, models)


def _by_image(world: World, num_images: int, rng: np.random.Generator) -> np.ndarray:
    """Standard normal values (N,), correlated within a sequence."""
    if world.sequence == 1:
        return rng.normal(size=num_images)
    common = np.repeat(rng.normal(size=-(-num_images // world.sequence)), world.sequence)[:num_images]
    return np.sqrt(world.share_of_sequence) * common + np.sqrt(1 - world.share_of_sequence) * rng.normal(size=num_images)


def detect(
    world: World, shown: Scenes, skill: float, rng: np.random.Generator, more_false: float = 1.0, surer_false: float = 0.0
) -> Detections:
    """What a model of mean quality `skill` detects on `shown`, with luck of its own; for its false detections see `World`."""
    targets, hard, difficulty, main_class = shown.targets, shown.hard, shown.difficulty, shown.main_class
    num_images = len(difficulty)
    own = world.own_image * _by_image(world, num_images, rng)
    quality = skill - hard + own[targets.img] + world.own_object * rng.normal(size=len(hard))
    found = quality > 0
    iou = 0.5 + 0.5 / (1 + np.exp(-(quality[found] - 0.8 + 0.6 * rng.normal(size=found.sum()))))
    conf = 1 / (1 + np.exp(-(1.4 * quality[found] - 1.2 + 0.7 * rng.normal(size=found.sum()))))
    rate = more_false * world.false_positives * np.exp(0.4 * difficulty - 0.6 * own - 0.08)
    false_img = np.repeat(np.arange(num_images, dtype=np.int32), rng.poisson(rate))
    false_cls = np.where(
        rng.random(len(false_img)) < world.main_class, main_class[false_img], rng.integers(world.num_classes, size=len(false_img))
    )
    false_quality = 0.5 * difficulty[false_img] - 0.5 * own[false_img] - 0.3 * (skill - 1.8) + rng.normal(size=len(false_img))
    false_conf = 1 / (1 + np.exp(-(1.5 * (false_quality + surer_false) - 3.5)))
    img = np.concatenate([targets.img[found], false_img])
    conf = np.concatenate([conf, false_conf]).astype(np.float32)
    order = np.lexsort((-conf, img))
    tp = np.concatenate([iou[:, None] >= IOUS, np.zeros((len(false_img), 10), bool)])[order]
    cls = np.concatenate([targets.cls[found], false_cls]).astype(np.int32)[order]
    return Detections(img[order].astype(np.int32), cls, conf[order], np.zeros((len(img), 4), np.float32), {"box": tp})
