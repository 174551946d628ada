"""What is drawn for a bake, before a pixel of it exists."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bakery.capture import draw_capture
from shared.bakery.field import CELLS, edge_distances, solve
from shared.bakery.light import draw_light
from shared.bakery.noise import lattice, sensor_noise
from shared.bakery.recipe import Draws, draw_recipe
from shared.bakery.truth import DONENESS_EDGES, FRAME_COUNT, LABEL_MARGIN, LABELS, doneness_of
from shared.task import load_task

BAKES = 1500


@pytest.fixture(scope="module")
def recipes():
    return [draw_recipe(Draws(17, index)) for index in range(BAKES)]


def test_labels_are_those_of_the_task():
    assert load_task("pizza").labels == LABELS


@pytest.mark.parametrize(
    ("level", "label"),
    [(0.0, "raw"), (0.19, "raw"), (0.2, "underbaked"), (0.5, "golden"), (0.79, "dark"), (1.0, "burnt")],
)
def test_doneness_is_the_fifth_that_the_mean_falls_in(level, label):
    assert doneness_of(level) == label


def test_labels_are_uniform_and_keep_their_margin(recipes):
    counts = Counter(doneness_of(recipe.baking.mean) for recipe in recipes)
    expected = BAKES / len(LABELS)
    # Chi-square with 4 degrees of freedom: 23.5 is passed by chance once in 10,000 seeds.
    assert sum((counts[label] - expected) ** 2 / expected for label in LABELS) < 23.5
    edges = (0.0, *DONENESS_EDGES, 1.0)
    nearest = min(abs(recipe.baking.mean - edge) for recipe in recipes for edge in edges)
    assert nearest > LABEL_MARGIN


def test_wholes_slices_and_every_topping_occur(recipes):
    shapes = Counter(recipe.item.shape for recipe in recipes)
    assert 0.2 < shapes["slice"] / BAKES < 0.3
    kinds = {int(kind) for recipe in recipes for kind in recipe.toppings[:, 0]}
    assert kinds == {0, 1, 2, 3, 4}


def test_leopard_spots_occur_at_every_doneness(recipes):
    spotted = Counter(doneness_of(recipe.baking.mean) for recipe in recipes if len(recipe.leopard))
    assert min(spotted[label] for label in LABELS) > 100


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), index=st.integers(0, 2**31))
def test_any_seed_gives_a_bake_that_hangs_together(seed, index):
    draws = Draws(seed, index)
    recipe = draw_recipe(draws)
    item = recipe.item
    for x, y in (
        *recipe.toppings[:, 1:3],
        *recipe.blisters[:, :2],
        *recipe.leopard[:, :2],
        *recipe.baking.hot_spots[:, :2],
    ):
        assert math.hypot(x - item.centre_x, y - item.centre_y) < item.radius
        assert max(abs(x), abs(y)) < item.extent
    light = draw_light(draws)
    assert light.lamp_x**2 + light.lamp_y**2 + light.lamp_z**2 == pytest.approx(1.0)
    capture = draw_capture(draws, item)
    camera = capture.camera
    assert camera.rotation @ camera.rotation.T == pytest.approx(np.eye(3), abs=1e-6)
    assert np.linalg.det(camera.rotation) == pytest.approx(1.0, abs=1e-5)
    assert camera.position[2] > 0.05
    assert all(camera.position[2] > level for level in capture.obstacles[capture.obstacles[:, 6] > 0, 5])
    assert sum(len(capture.obstacles_in(frame)) for frame in range(FRAME_COUNT)) >= len(capture.obstacles)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_field_has_the_drawn_mean_whatever_is_clipped(seed):
    recipe = draw_recipe(Draws(seed, 0))
    field = solve(lattice(), recipe.item, recipe.baking)
    line = np.linspace(-recipe.item.extent, recipe.item.extent, CELLS)
    inside = np.array([[edge_distances(lattice(), recipe.item, x, y)[0] > 0 for x in line] for y in line])
    assert field.min() >= 0.0
    assert field.max() <= 1.0
    assert float(field[inside].astype(np.float64).mean()) == pytest.approx(recipe.baking.mean, abs=2e-4)


def test_draws_depend_on_seed_and_index_alone():
    def first(seed, index):
        return draw_recipe(Draws(seed, index)).baking.mean

    assert first(5, 9) == first(5, 9)
    assert len({first(5, 9), first(5, 10), first(6, 9)}) == 3


def test_noise_tables_are_what_they_say():
    assert lattice().shape == (256, 256)
    assert 0.0 <= lattice().min() < 0.001
    assert 0.999 < lattice().max() < 1.0
    assert abs(float(sensor_noise().mean())) < 0.005
    assert float(sensor_noise().std()) == pytest.approx(1.0, abs=0.01)
