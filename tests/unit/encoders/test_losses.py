import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from encoders.fitting.losses import InfoNCELoss


def random_pairs(seed, n=6, width=5):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, width, generator=generator).unbind()


def test_infonce_of_orthogonal_pairs_has_the_known_value():
    rows = torch.eye(4)
    expected = math.log(math.exp(1 / 0.5) + 3) - 1 / 0.5
    assert InfoNCELoss(temperature=0.5)(rows, rows).item() == pytest.approx(expected, rel=1e-6)


def test_infonce_of_equal_vectors_is_that_of_guessing():
    rows = torch.ones(8, 3)
    assert InfoNCELoss()(rows, rows).item() == pytest.approx(math.log(8), rel=1e-5)


def test_infonce_is_lower_for_right_pairs_than_for_swapped_ones():
    rows = torch.eye(4)
    loss = InfoNCELoss()
    assert loss(rows, rows) < loss(rows, rows.flip(0))


@given(st.integers(0, 2**31))
def test_infonce_is_symmetric_in_the_modalities(seed):
    spectrum, text = random_pairs(seed)
    loss = InfoNCELoss(0.2)
    assert loss(spectrum, text).item() == pytest.approx(loss(text, spectrum).item(), rel=1e-5)


@given(st.integers(0, 2**31))
def test_infonce_of_both_directions_is_the_mean_of_each(seed):
    spectrum, text = random_pairs(seed)
    one_way = InfoNCELoss(0.2, symmetric=False)
    mean = (one_way(spectrum, text) + one_way(text, spectrum)) / 2
    assert InfoNCELoss(0.2)(spectrum, text).item() == pytest.approx(mean.item(), rel=1e-5)


def test_one_way_infonce_asks_which_spectrum_belongs_to_a_text():
    spectrum = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    text = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # the second text is like the first spectrum
    expected = (math.log(1 + math.exp(-5)) + math.log(1 + math.exp(5))) / 2
    assert InfoNCELoss(0.2, symmetric=False)(spectrum, text).item() == pytest.approx(expected)


@given(st.integers(0, 2**31), st.floats(0.01, 100))
def test_infonce_does_not_depend_on_the_length_of_vectors(seed, length):
    spectrum, text = random_pairs(seed)
    loss = InfoNCELoss(0.2)
    assert loss(length * spectrum, text).item() == pytest.approx(
        loss(spectrum, text).item(), rel=1e-3, abs=1e-5
    )


def test_infonce_gradients_are_finite_even_where_a_row_has_no_negative_left():
    spectrum, text = (x.requires_grad_() for x in random_pairs(1))
    loss = InfoNCELoss(0.01)
    loss(spectrum, text, torch.zeros(6, dtype=torch.long)).backward()
    for tensor in (spectrum, text, loss.log_temperature):
        assert torch.isfinite(tensor.grad).all()


def test_infonce_never_takes_detections_of_one_source_for_each_others_negatives():
    spectrum, text = torch.eye(3), torch.eye(3)
    text[2] = spectrum[1]  # a perfect answer for row 1 too, but of the same source
    source = torch.tensor([0, 1, 1])
    # Row 0 has two negatives of cosine 0, rows 1 and 2 one each; row 2's own cosine is 0.
    rows = [math.log(math.e + 2) - 1, math.log(math.e + 1) - 1, math.log(2)]
    assert InfoNCELoss(1.0)(spectrum, text, source).item() == pytest.approx(sum(rows) / 3, rel=1e-6)


def test_infonce_of_one_source_only_is_zero():
    spectrum, text = random_pairs(3)
    assert InfoNCELoss()(spectrum, text, torch.zeros(6, dtype=torch.long)).item() == 0


@pytest.mark.parametrize("temperature", [0.0, -0.1])
def test_infonce_refuses_a_temperature_that_is_not_positive(temperature):
    with pytest.raises(ValueError, match="positive"):
        InfoNCELoss(temperature)
