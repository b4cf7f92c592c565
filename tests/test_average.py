"""Averages of weights: what is averaged, what is not, and that an average is kept only where it is better."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import torch when the first test runs: a run that leaves these tests out must not take the time."""
    global average, recipe_average, torch  # noqa: PLW0603
    import torch

    from bench import average, recipe_average


def state(weight: float, batches: int = 1, dtype: object = None) -> dict[str, object]:
    return {
        "conv.weight": torch.full((2, 3), weight, dtype=dtype or torch.float32),
        "bn.running_mean": torch.full((2,), 10 * weight, dtype=dtype),
        "bn.num_batches_tracked": torch.tensor(batches),
    }


def first(found: dict) -> float:
    return float(found["conv.weight"][0, 0])


class TestMean:
    def test_averages_floats_and_keeps_the_counts_of_the_last(self) -> None:
        found = average.mean([state(1.0, 5), state(2.0, 7)])

        assert torch.equal(found["conv.weight"], torch.full((2, 3), 1.5))
        assert torch.equal(found["bn.running_mean"], torch.full((2,), 15.0))
        assert found["bn.num_batches_tracked"].item() == 7

    def test_of_one_model_is_that_model_and_shares_no_memory(self) -> None:
        only = state(0.1)

        found = average.mean([only])
        found["conv.weight"].zero_()
        found["bn.num_batches_tracked"].zero_()

        assert first(only) == pytest.approx(0.1)
        assert only["bn.num_batches_tracked"].item() == 1

    def test_does_not_lose_small_steps_of_half_precision(self) -> None:
        states = [state(1.0, dtype=torch.float16)] * 7 + [state(1.0 + 2**-10, dtype=torch.float16)]

        assert first(average.mean([{k: v.double() for k, v in s.items()} for s in states])) == 1.0 + 2**-13
        assert average.mean(states)["conv.weight"].dtype is torch.float16

    def test_weighs_by_shares_of_any_sum(self) -> None:
        assert first(average.mean([state(0.0), state(8.0)], [3, 1])) == 2.0

    @pytest.mark.parametrize(
        ("weights", "shares"),
        [([], None), ([1.0], [1, 1]), ([1.0, 2.0], [0, 0])],
        ids=["nothing", "too many shares", "no share"],
    )
    def test_without_models_or_shares_is_refused(self, weights: list[float], shares: list | None) -> None:
        with pytest.raises(ValueError, match="states and the shares"):
            average.mean([state(weight) for weight in weights], shares)

    def test_of_different_networks_is_refused_by_name(self) -> None:
        other = state(1.0) | {"conv.weight": torch.zeros(4, 3), "head.bias": torch.zeros(1)}

        with pytest.raises(ValueError, match=r"differ in 2 tensors: conv\.weight, head\.bias"):
            average.mean([state(1.0), other])


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.25, 1.5), (1.0, 3.0)])
def test_interpolation_goes_from_the_parent_to_the_child(share: float, expected: float) -> None:
    assert first(recipe_average.interpolate(state(1.0), state(3.0), share)) == expected


def test_a_parent_that_is_not_finite_does_not_reach_a_child_alone() -> None:
    assert first(recipe_average.interpolate(state(float("nan")), state(3.0), 1.0)) == 3.0


def test_candidates_are_soups_with_the_parent_and_means_of_the_last_epochs() -> None:
    epochs = [state(2.0), state(4.0), state(9.0)]

    found = recipe_average.candidates(state(0.0), epochs, epochs[1], [0.5])

    assert {name: first(own) for name, own in found.items()} == {
        "0.5 of the best epoch, 0.5 of the start": 2.0,
        "mean of the last 2 epochs": 6.5,
        "mean of the last 3 epochs": 5.0,
    }


class TestBestOf:
    def test_takes_the_best_above_the_floor(self) -> None:
        assert recipe_average.best_of({"a": state(1), "b": state(3), "c": state(2)}, first, 0.5) == ("b", 3.0)

    def test_keeps_what_there_was_where_none_is_better(self) -> None:
        assert recipe_average.best_of({"a": state(1), "b": state(3)}, first, 3.0) == (None, 3.0)

    def test_takes_the_first_of_equals(self) -> None:
        assert recipe_average.best_of({"a": state(3), "b": state(3)}, first, 0.0) == ("a", 3.0)

    def test_never_takes_one_that_cannot_be_measured(self) -> None:
        assert recipe_average.best_of({"a": state(float("nan"))}, first, 0.0) == (None, 0.0)


def test_recalibration_gives_the_statistics_of_the_batches_and_keeps_mode_and_momentum() -> None:
    model = torch.nn.Sequential(torch.nn.BatchNorm2d(1)).eval()
    batches = [torch.full((2, 1, 4, 4), 1.0), torch.full((2, 1, 4, 4), 3.0)]

    recipe_average.recalibrate(model, batches)

    assert model[0].running_mean.item() == 2.0
    assert model[0].momentum == 0.1
    assert not model.training
