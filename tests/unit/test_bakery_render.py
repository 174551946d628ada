"""Rendered bakes: the same bytes everywhere, and a truth that the pixels bear out."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest

from shared.bakery import FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH, KEY_FRAME, iter_bakes, render_bake
from shared.bakery.field import RIM
from shared.bakery.recipe import Draws, draw_recipe
from shared.bakery.surface import make_surface
from shared.bakery.truth import DONENESS_EDGES, LABEL_MARGIN, doneness_of
from shared.errors import BadInputError

SEED = 3
FROZEN_LEVELS = (
    (131.17, 106.09, 85.1),
    (177.2, 126.24, 99.86),
    (150.98, 123.08, 86.06),
    (153.12, 135.55, 99.76),
    (159.29, 124.01, 88.86),
    (162.89, 114.36, 72.99),
    (85.19, 59.58, 39.64),
    (186.82, 171.72, 134.97),
    (139.96, 105.58, 72.65),
    (159.45, 102.33, 74.67),
)
"""Mean red, green and blue of the key frames of bakes 0 to 9."""


@pytest.fixture(scope="module")
def bakes():
    return [render_bake(SEED, index) for index in range(10)]


def digest(bake):
    return hashlib.sha256(
        b"".join(
            np.ascontiguousarray(array).tobytes()
            for array in (bake.frames, bake.depth, bake.poses, bake.maps.coverage, bake.maps.burn, bake.maps.bake)
        )
    ).hexdigest()


def test_same_bytes_in_other_processes_and_in_another_order(bakes):
    from_processes = list(iter_bakes(SEED, 4, processes=2))
    assert [digest(bake) for bake in from_processes] == [digest(bake) for bake in bakes[:4]]
    assert [bake.truth for bake in from_processes] == [bake.truth for bake in bakes[:4]]
    assert digest(render_bake(SEED, 1)) == digest(bakes[1])


def test_stream_starts_anywhere(bakes):
    assert [bake.truth.index for bake in iter_bakes(SEED, 2, start=5)] == [5, 6]


def test_shapes_and_ranges(bakes):
    shape = (FRAME_COUNT, FRAME_HEIGHT, FRAME_WIDTH)
    for bake in bakes:
        assert bake.frames.shape == (*shape, 3)
        assert bake.frames.dtype == np.uint8
        for array in (bake.depth, bake.maps.burn, bake.maps.bake):
            assert array.shape == shape
            assert array.dtype == np.float32
            assert np.isfinite(array).all()
        assert bake.depth.min() > 0.02
        assert bake.depth.max() < 2.0
        assert 0.0 <= bake.maps.burn.min() <= bake.maps.burn.max() <= 1.0
        assert bake.points().shape == (*shape, 3)
        assert bake.points().dtype == np.float32


def test_look_is_the_one_that_the_models_were_trained_on(bakes):
    """Mean levels of key frames; the committed models and their figures stand on this look."""
    levels = [bake.frames[KEY_FRAME].mean(axis=(0, 1)) for bake in bakes]
    assert np.array(levels) == pytest.approx(np.array(FROZEN_LEVELS), abs=0.05)


def test_label_follows_the_mean_field_and_keeps_its_margin(bakes):
    for bake in bakes:
        level = bake.truth.bake_index
        assert bake.truth.doneness == doneness_of(level)
        assert min(abs(level - edge) for edge in DONENESS_EDGES) >= LABEL_MARGIN
        assert level == pytest.approx(draw_recipe(Draws(SEED, bake.truth.index)).baking.mean, abs=0.005)


def test_burnt_area_adds_up_over_the_hours(bakes):
    for bake in bakes:
        truth = bake.truth
        assert len(truth.char_fraction_by_hour) == 12
        assert sum(truth.char_fraction_by_hour) == pytest.approx(truth.burnt_fraction)
        if truth.char_where == "none":
            assert truth.char_sector is None
            assert truth.burnt_fraction < 0.01


def seen_from_above(bake, cell_m=0.003):
    """Burn on a grid in the item's frame, from all pixels of all frames: (x, y, burn) of each cell that was seen."""
    points = bake.points()[bake.maps.coverage]  # [N, 3]
    burn = bake.maps.burn[bake.maps.coverage]  # [N]
    side = 200
    cells = np.rint(points[:, :2] / cell_m).astype(int) + side // 2  # [N, 2]
    assert cells.min() >= 0
    assert cells.max() < side
    keys = cells[:, 0] * side + cells[:, 1]  # [N]
    count = np.bincount(keys, minlength=side * side)
    seen = np.flatnonzero(count)
    mean = np.bincount(keys, weights=burn, minlength=side * side)[seen] / count[seen]
    return (seen // side - side // 2) * cell_m, (seen % side - side // 2) * cell_m, mean


def test_pixels_show_the_burnt_fraction_and_its_hour(bakes):
    judged = 0
    for bake in bakes:
        x, y, burn = seen_from_above(bake)
        charred = burn >= 0.5
        # The frames together miss a part of the item, so this is near the truth and not equal to it.
        assert charred.mean() == pytest.approx(bake.truth.burnt_fraction, abs=0.06)
        if bake.truth.char_sector is None or bake.truth.burnt_fraction < 0.03:
            continue
        judged += 1
        resultant = np.exp(1j * np.arctan2(-y[charred], x[charred])).mean()
        apart = (np.angle(resultant) - 2 * math.pi * bake.truth.char_sector / 12 + math.pi) % (2 * math.pi) - math.pi
        assert abs(apart) < math.radians(50)
    assert judged >= 3


def test_hours_count_clockwise_from_the_direction_of_travel():
    bake = render_bake(SEED, 6)
    surface = make_surface(draw_recipe(Draws(SEED, 6)))
    texels = surface.burn.shape[0]
    line = np.linspace(-surface.extent, surface.extent, texels)
    x, y = np.meshgrid(line, line, indexing="ij")
    charred = (surface.region > 0) & (surface.burn >= 0.5)
    area = (surface.region > 0).sum()
    # 3 o'clock is to the right of the direction of travel, that is towards -y.
    towards = np.degrees(np.arctan2(-y, x)) % 360
    at_three = charred & (towards >= 75) & (towards < 105)
    assert bake.truth.char_fraction_by_hour[2] == pytest.approx(at_three.sum() / area, abs=2e-3)
    assert bake.truth.burnt_fraction == pytest.approx(charred.sum() / area)


def test_maps_hold_the_texel_that_the_point_lies_on(bakes):
    bake = bakes[8]
    surface = make_surface(draw_recipe(Draws(SEED, 8)))
    points = bake.points()[bake.maps.coverage]
    texels = np.rint((points[:, :2] + surface.extent) / (2 * surface.extent) * (surface.burn.shape[0] - 1)).astype(int)
    expected = surface.bake[texels[:, 0], texels[:, 1]]
    apart = np.abs(bake.maps.bake[bake.maps.coverage] - expected)
    assert np.quantile(apart, 0.99) < 0.02
    # The points lie on the relief (outlines and cuts, where texels jump, are left out by the quantile).
    assert np.quantile(np.abs(points[:, 2] - surface.height[texels[:, 0], texels[:, 1]]), 0.9) < 0.002


def test_points_of_one_frame_land_on_the_same_surface_in_another(bakes):
    for bake in bakes[:6]:
        centre = np.array(bake.truth.item_centre_m)
        points = bake.points()
        for first, second in ((2, 3), (3, 5), (5, 3)):
            world = points[first][bake.maps.coverage[first]] + centre  # [N, 3]
            pose = bake.poses[second].astype(np.float64)
            seen = world @ pose[:, :3].T + pose[:, 3]  # [N, 3]
            pixel = np.rint((seen @ bake.intrinsics.T)[:, :2] / seen[:, 2:]).astype(int)  # [N, 2]
            inside = (pixel >= 0).all(axis=1) & (pixel[:, 0] < FRAME_WIDTH) & (pixel[:, 1] < FRAME_HEIGHT)
            column, row = pixel[inside].T
            both = bake.maps.coverage[second][row, column]
            apart = np.abs(bake.depth[second][row, column] - seen[inside, 2])[both]
            if apart.size < 2000:
                continue  # a paddle hides most of one of them
            assert np.median(apart) < 0.0008
            assert np.quantile(apart, 0.9) < 0.005


def test_camera_moves_against_the_belt(bakes):
    for bake in bakes:
        rotation, shift = bake.poses[:, :, :3], bake.poses[:, :, 3]
        centres = -np.einsum("fcd,fc->fd", rotation, shift)  # [8, 3]
        step = np.diff(centres, axis=0)
        assert np.ptp(rotation, axis=0).max() == 0.0
        assert step[:, 0] == pytest.approx(-bake.truth.belt_speed_m_s * np.diff(bake.truth.times_s), rel=1e-3)
        assert np.abs(step[:, 1:]).max() < 1e-6


def test_each_frame_shows_a_part_and_all_together_most_of_it(bakes):
    shares = np.array([bake.truth.visible_fraction for bake in bakes])  # [10, 8]
    assert 0.42 < shares.mean() < 0.60
    assert np.median(shares.max(axis=1)) < 0.75
    for bake in bakes:
        x, _, _ = seen_from_above(bake)
        surface = make_surface(draw_recipe(Draws(SEED, bake.truth.index)))
        area = (surface.region > 0).sum() * (2 * surface.extent / (surface.burn.shape[0] - 1)) ** 2
        assert x.size * 0.003**2 > 0.7 * area


def test_relief_is_what_the_depth_shows(bakes):
    for bake in bakes:
        surface = make_surface(draw_recipe(Draws(SEED, bake.truth.index)))
        rim = surface.height[surface.region == RIM]
        assert bake.truth.crust_height_mm == pytest.approx(1000 * np.percentile(rim, 95), abs=0.01)
        heights = bake.points()[..., 2][bake.maps.coverage]
        assert heights.max() <= surface.height.max() + 1e-4
        assert np.quantile(heights, 0.01) > -0.0005


@pytest.mark.parametrize(("seed", "index"), [(-1, 0), (0, -1)])
def test_negative_seed_or_index_is_refused(seed, index):
    with pytest.raises(BadInputError, match="0 or more"):
        render_bake(seed, index)


@pytest.mark.parametrize("arguments", [{"count": -1}, {"count": 1, "processes": 0}, {"count": 1, "start": -3}])
def test_bad_stream_is_refused_before_it_is_read(arguments):
    with pytest.raises(BadInputError):
        iter_bakes(SEED, **arguments)
