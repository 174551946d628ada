"""A clip mirrored or run backwards is as true as the rendered one: geometry, maps and hours agree with the pictures."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from cloud.spatial_mllm.processor import PixelRange
from cloud.training.records import Record, cell_flow, cell_points, cell_rays, render_record
from cloud.training.symmetries import backwards, mirrored, seen_otherwise
from cloud.training.targets import char_direction
from shared.bakery import FRAME_HEIGHT, FRAME_WIDTH, render_bake
from shared.task import load_task

PIXELS = PixelRange(3_136, 5_500)  # 4:3 frames become 84x56
SEED = 2090
Change = Callable[[Record], Record]


@pytest.fixture(scope="module")
def records() -> Record:
    task = load_task("pizza")
    charred = [index for index in range(24) if render_bake(SEED, index).truth.char_sector is not None][:3]
    return np.stack([render_record(SEED, index, PIXELS, task) for index in [*charred, 0]])  # [4]


@pytest.mark.parametrize("change", [mirrored, backwards])
def test_twice_is_as_before(records: Record, change: Change) -> None:
    again = change(change(records))
    for name in records.dtype.names:
        np.testing.assert_array_equal(again[name], records[name], err_msg=name)


def test_the_principal_point_is_the_middle_of_the_picture(records: Record) -> None:
    np.testing.assert_allclose(records["intrinsics"][:, 0, 2], (FRAME_WIDTH - 1) / 2)
    np.testing.assert_allclose(records["intrinsics"][:, 1, 2], (FRAME_HEIGHT - 1) / 2)


@pytest.mark.parametrize("change", [mirrored, backwards])
def test_cameras_still_turn_without_mirroring(records: Record, change: Change) -> None:
    rotation = change(records)["poses"][..., :3]  # [4, 8, 3, 3]
    np.testing.assert_allclose(np.linalg.det(rotation), 1, atol=1e-5)
    np.testing.assert_allclose(
        rotation @ rotation.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotation.shape), atol=1e-5
    )


def test_a_mirrored_clip_shows_mirrored_points_where_the_picture_has_them(records: Record) -> None:
    points, before = cell_points(mirrored(records)), cell_points(records)[..., ::-1, :]  # [4, 8, rows, columns, 3]
    np.testing.assert_allclose(points, before * [1, -1, 1], atol=1e-4)


def test_a_clip_run_backwards_shows_points_turned_by_half(records: Record) -> None:
    points, before = cell_points(backwards(records)), cell_points(records)[:, ::-1, ::-1, ::-1]
    np.testing.assert_allclose(points, before * [-1, -1, 1], atol=1e-4)


def test_movement_is_that_of_the_changed_pictures(records: Record) -> None:
    chosen = np.arange(8)
    flow, before = cell_flow(mirrored(records), chosen), cell_flow(records, chosen)[..., ::-1, :]
    np.testing.assert_allclose(flow, before * [-1, 1], atol=1e-4)
    back = backwards(records)
    rays, shift = cell_rays(back), back["poses"][..., 3]  # [4, 8, rows, columns, 3], [4, 8, 3]
    np.testing.assert_allclose(rays, cell_rays(records)[:, ::-1, ::-1, ::-1] * [-1, -1, 1], atol=1e-4)
    along_belt = np.einsum("btij,btj->bti", back["poses"][..., :3].swapaxes(-1, -2), shift)  # [4, 8, 3] in the world
    assert (np.diff(along_belt[..., 0], axis=1) > 0).all()  # the belt still carries the item towards x


@pytest.mark.parametrize(("change", "sine", "cosine"), [(mirrored, -1, 1), (backwards, -1, -1)])
def test_char_lies_where_the_changed_pictures_show_it(records: Record, change: Change, sine: int, cosine: int) -> None:
    changed = change(records)
    direction = char_direction(changed["char_by_hour"])  # [4, 2]
    np.testing.assert_allclose(direction, char_direction(records["char_by_hour"]) * [sine, cosine], atol=1e-5)
    known = changed["hour"] > 0  # [4]
    assert known.sum() >= 3
    hours = np.rint(np.arctan2(*direction[known].T) * 6 / np.pi).astype(int) % 12  # [3]
    assert (np.where(hours == 0, 12, hours) == changed["hour"][known]).all()
    charred = changed["coverage"] / 255 * changed["burn"]  # [4, 8, rows, columns]
    points = cell_points(changed)  # [4, 8, rows, columns, 3]
    for row in np.flatnonzero(known):
        weight = charred[row] ** 2
        x, y = (float((weight * points[row, ..., axis]).sum()) for axis in (0, 1))
        said = np.arctan2(*direction[row])
        apart = (np.arctan2(-y, x) - said + np.pi) % (2 * np.pi) - np.pi  # clockwise from the belt's travel
        assert abs(apart) < np.pi / 3


def test_each_of_the_four_is_seen_and_the_same_for_the_same_generator(records: Record) -> None:
    many = np.repeat(records[:1], 64)  # [64]
    seen = seen_otherwise(many.copy(), np.random.default_rng(1))
    assert len({row["frames"].tobytes() for row in seen}) == 4
    assert seen.tobytes() == seen_otherwise(many.copy(), np.random.default_rng(1)).tobytes()
