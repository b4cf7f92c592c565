"""Splits that last: an image that judged never teaches, and one that taught never judges, whatever exports come later."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.adopt.resplit import after_training, before_training
from tasks.adopt.splits import OUT, Node, Plan, assign, components
from tasks.common.errors import DatasetError

NO_PAIRS = np.empty((0, 2), dtype=np.intp)


def pairs(*entries: tuple[int, int]) -> np.ndarray:
    return np.array(entries, dtype=np.intp).reshape(-1, 2)


def nodes(number: int, **values: object) -> list[Node]:
    return [Node(f"{i:064x}", **values) for i in range(number)]  # type: ignore[arg-type]


def test_a_draw_has_the_shares_that_were_asked_for_and_every_class_in_every_split() -> None:
    images = [Node(f"{i:064x}", classes=("nut",) if i % 10 else ("nut", "rare")) for i in range(200)]

    found = assign(images, NO_PAIRS, Plan(val=20, test=40)).splits

    assert Counter(found) == {"train": 140, "val": 20, "test": 40}
    rare = Counter(split for node, split in zip(images, found, strict=True) if "rare" in node.classes)
    assert rare == {"train": 14, "val": 2, "test": 4}


def test_a_draw_does_not_depend_on_the_order_of_the_export() -> None:
    images = nodes(50, classes=("nut",))

    found = assign(images, NO_PAIRS, Plan(5, 10)).splits
    turned = assign(images[::-1], NO_PAIRS, Plan(5, 10)).splits

    assert turned[::-1] == found
    assert assign(images, NO_PAIRS, Plan(5, 10, seed=1)).splits != found


def test_what_belongs_together_is_drawn_together() -> None:
    images = [Node(f"{i:064x}", group=f"film {i // 5}", classes=("nut",)) for i in range(100)]
    alike = pairs((0, 99), (20, 50))

    found = assign(images, alike, Plan(10, 20)).splits

    for start in range(0, 100, 5):
        assert len(set(found[start : start + 5])) == 1
    assert found[0] == found[99]
    assert found[20] == found[50]
    assert abs(Counter(found)["test"] - 20) <= 5


def test_splits_of_the_export_are_kept_and_a_missing_one_is_drawn_from_train() -> None:
    images = [Node(f"{i:064x}", given="val" if i < 10 else "train", classes=("nut",)) for i in range(100)]

    found = assign(images, NO_PAIRS, Plan(10, 20)).splits

    assert found[:10] == ["val"] * 10
    assert Counter(found) == {"train": 70, "val": 10, "test": 20}


def test_a_new_look_alike_follows_a_known_image_and_one_between_two_splits_is_left_out() -> None:
    images = [
        Node("a", known="test"),
        Node("b", known="train"),
        Node("c"),
        Node("d"),
        Node("e"),
        Node("f", known="val"),
        Node("g"),
    ]

    found = assign(images, pairs((0, 2), (0, 3), (1, 3), (2, 4)), Plan(1, 1))

    assert found.splits[2] == "test"  # like a
    assert found.splits[3] == OUT  # like a and b
    assert found.splits[4] == "test"  # like c, which is like a
    assert found.reasons["unclear"] == 1


def test_an_image_that_is_only_remembered_is_followed_too() -> None:
    images = [*nodes(30, classes=("nut",)), Node("gone", known="test", is_here=False)]

    found = assign(images, pairs((7, 30)), Plan(3, 6))

    assert found.splits[7] == "test"


def test_a_new_member_of_a_group_goes_where_the_group_is() -> None:
    images = [*(Node(f"{i}", known="test", group="film") for i in range(3)), Node("new", group="film"), Node("x", known="train")]

    assert assign(images, NO_PAIRS, Plan(1, 1)).splits[3] == "test"


def test_images_that_all_stay_together_cannot_be_split() -> None:
    images = [Node(f"{i}", group="one film") for i in range(20)]

    with pytest.raises(DatasetError) as refusal:
        assign(images, NO_PAIRS, Plan(2, 4))

    assert refusal.value.what == (
        "20 images fall into 1 set of images that stay together (copies, look-alikes, a group), the largest with 20: none is "
        "left for split test"
    )


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[int, int, str | None, str | None]]]:
    """Some exports in a row, each a list of (what it shows, which copy of it, group, given split)."""
    film = st.sampled_from([None, "a", "b"])
    image = st.tuples(st.integers(0, 14), st.integers(0, 2), film, st.sampled_from([None, None, "train", "val", "test"]))
    exports = draw(st.lists(st.lists(image, min_size=8, max_size=30, unique_by=lambda i: i[:2]), min_size=2, max_size=4))
    if draw(st.booleans()):
        exports = [[(shows, copy, None, None) for shows, copy, _, _ in export] for export in exports]
    return exports


@settings(max_examples=150, deadline=None)
@given(histories())
def test_no_image_ever_changes_between_teaching_and_judging(exports: list[list[tuple[int, int, str | None, str | None]]]) -> None:
    """Pictures that show the same look alike; each copy has bytes of its own. Over any number of exports no split ever changes,
    and a copy that comes later never teaches what judged, or judges what taught.
    """
    past: dict[str, str] = {}
    shows_of: dict[str, int] = {}
    roles: dict[int, set[str]] = defaultdict(set)
    for number, export in enumerate(exports):
        here = {f"{shows}-{copy}": (shows, group, given) for shows, copy, group, given in export}
        images = [Node(key, past.get(key), split, group, ("nut",)) for key, (_, group, split) in here.items()]
        images += [Node(key, past[key], is_here=False) for key in past if key not in here]
        shows_of |= {key: shows for key, (shows, _, _) in here.items()}
        alike = [(i, j) for i in range(len(images)) for j in range(i) if shows_of[images[i].sha256] == shows_of[images[j].sha256]]
        try:
            found = assign(images, pairs(*alike), Plan(2, 4))
        except DatasetError:
            return
        for node, split in zip(images, found.splits, strict=True):
            assert node.known in (None, split)
            if node.known is None and split != OUT and number > 0:
                judges = split != "train"
                assert not judges or "train" not in roles[shows_of[node.sha256]]
                assert judges or not roles[shows_of[node.sha256]] & {"val", "test"}
            past[node.sha256] = split
        for key, split in past.items():
            roles[shows_of[key]].add(split)


def test_before_training_linked_images_move_towards_train_alone() -> None:
    splits = ["train", "test", "val", "test", "test", "val"]
    linked = components(nodes(6), pairs((0, 1), (2, 3)))

    moves = before_training(splits, linked)

    assert moves == {1: "train", 3: "val"}


def test_after_training_the_image_that_judges_is_left_out_and_nothing_moves_to_test_or_train() -> None:
    splits = ["train", "test", "val", "test", "train", "val"]

    moves = after_training(splits, pairs((0, 1), (2, 3), (4, 5)))

    assert moves == {1: OUT, 2: OUT, 5: OUT}
