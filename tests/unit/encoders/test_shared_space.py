import pytest
import torch
from torch.nn import functional

from common.concepts import N_CONCEPTS
from encoders.config import TrainingConfig
from encoders.shared_space import Joint, choose_share

CONFIG = TrainingConfig()
N = 30  # of spectra and of texts: together fewer than the shared space has numbers


def unit(seed, width):
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(2 * N, width, generator=generator), dim=-1)


@pytest.fixture
def bridge():
    return unit(0, N_CONCEPTS)


@pytest.fixture
def aligned():
    return unit(1, CONFIG.shared)


def cosines(vectors):
    return vectors[:N] @ vectors[N:].T


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_cosine_is_the_weighted_mean_of_that_of_the_bridge_and_the_aligned(
    bridge, aligned, share
):
    joint = Joint(CONFIG)
    joint.fit(share, bridge, aligned)
    joined = joint(bridge, aligned)
    assert joined.shape == (2 * N, CONFIG.shared)
    torch.testing.assert_close(joined.norm(dim=1), torch.ones(2 * N))
    expected = share * cosines(bridge) + (1 - share) * cosines(aligned)
    torch.testing.assert_close(cosines(joined), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("share", "kept"), [(0.0, "aligned"), (1.0, "bridge")])
def test_one_part_alone_is_kept_for_vectors_never_seen_too(bridge, aligned, share, kept):
    joint = Joint(CONFIG)
    joint.fit(
        share, *(torch.cat([part, -part.roll(1, 1), part.flip(1)]) for part in (bridge, aligned))
    )
    new = {"bridge": unit(2, N_CONCEPTS), "aligned": unit(3, CONFIG.shared)}
    found = cosines(joint(new["bridge"], new["aligned"]))
    torch.testing.assert_close(found, cosines(new[kept]), atol=1e-4, rtol=0)


def test_a_narrow_shared_space_holds_the_directions_that_matter_most(aligned):
    narrow = TrainingConfig(shared=4)
    direction = torch.zeros(2 * N, N_CONCEPTS)
    direction[torch.arange(2 * N), torch.arange(2 * N) % 3] = 1  # three directions alone
    joint = Joint(narrow)
    joint.fit(1.0, direction, aligned[:, :4])
    joined = joint(direction, aligned[:, :4])
    assert joined.shape == (2 * N, 4)
    torch.testing.assert_close(cosines(joined), cosines(direction), atol=1e-4, rtol=0)


def chosen(bridge, aligned, scores):
    joint = Joint(CONFIG)
    asked = []

    def score():
        asked.append(round(float(joint.share), 3))
        return scores[asked[-1]]

    choose_share(joint, tuple(scores), (bridge, aligned), score)
    return joint, asked


def test_the_share_that_scores_best_is_chosen_and_its_directions_kept(bridge, aligned):
    joint, asked = chosen(bridge, aligned, {0.0: 0.1, 0.2: 0.5, 0.6: 0.3})
    assert asked == [0.0, 0.2, 0.6]
    expected = Joint(CONFIG)
    expected.fit(0.2, bridge, aligned)
    assert torch.equal(joint.share, expected.share)
    assert torch.equal(joint.merge, expected.merge)


def test_of_equal_shares_the_first_is_chosen(bridge, aligned):
    joint, _ = chosen(bridge, aligned, {0.1: 0.2, 0.3: 0.4, 0.45: 0.4})
    assert float(joint.share) == pytest.approx(0.3)


def test_one_share_alone_need_not_be_scored(bridge, aligned):
    joint, asked = chosen(bridge, aligned, {0.75: 0.0})
    assert asked == []
    assert float(joint.share) == 0.75
