"""JPEG and image files under caps: the declared size is checked before a pixel is decoded."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from shared.errors import BadInputError
from shared.jpeg import stripped

MAX_PIXELS = 16_000_000  # of one frame; 48 MB as RGB
MAX_FILE_PIXELS = 120_000_000  # of a photograph from a folder, which is made smaller at once

FILE_FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "PPM")
"""What a folder of photographs may hold; formats that run other programs or plug-ins (EPS, PDF) stay out."""

# What Pillow's decoders raise on damaged files, by its own documentation and by fuzzing.
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, LookupError, OverflowError, MemoryError)


def encode_jpeg(frame: NDArray[np.uint8], quality: int = 85) -> bytes:
    """`frame` uint8 [H, W, 3] RGB as a baseline JPEG with 4:2:0 chroma."""
    if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        raise BadInputError(f"a frame is uint8 [H, W, 3] RGB, not {frame.dtype} {list(frame.shape)}")
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_snapshot(frame: NDArray[np.uint8], limit_bytes: int) -> bytes:
    """`frame` uint8 [H, W, 3] as a JPEG of at most `limit_bytes`: first by quality, then by half the size."""
    while True:
        for quality in (85, 70, 50, 30):
            jpeg = encode_jpeg(frame, quality)
            if len(jpeg) <= limit_bytes:
                return jpeg
        if min(frame.shape[:2]) < 16:
            raise BadInputError(f"no JPEG of this frame fits into {limit_bytes} bytes")
        frame = np.ascontiguousarray(frame[::2, ::2])  # [ceil(H/2), ceil(W/2), 3]


def decode_jpeg(data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """A JPEG as uint8 [H, W, 3] RGB, for data from the network.

    Raises BadInputError for other formats, truncated, padded or damaged data, streams that would keep a decoder busy
    (`shared.jpeg`) and more than `max_pixels` pixels.
    """
    shape, data = stripped(data)
    if shape.width * shape.height > max_pixels:
        raise BadInputError(f"JPEG frame: {shape.width}x{shape.height} pixels are more than the {max_pixels} allowed")
    return _read(io.BytesIO(data), ("JPEG",), max_pixels, "JPEG frame")


def read_image_file(path: Path, max_side_px: int) -> NDArray[np.uint8]:
    """An image file as uint8 [H, W, 3] RGB, upright, made smaller until no side exceeds `max_side_px`.

    Grey, palette, alpha (over black) and 16-bit images are converted. Raises BadInputError for other files.
    """
    try:
        with path.open("rb") as file:
            return _read(file, FILE_FORMATS, MAX_FILE_PIXELS, str(path), max_side_px)
    except OSError as error:
        raise BadInputError(f"{path}: cannot be read: {error.strerror or error}") from None


def _read(
    file: IO[bytes], formats: tuple[str, ...], max_pixels: int, name: str, max_side_px: int | None = None
) -> NDArray[np.uint8]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's advice about size and metadata: both are dealt with here
            with Image.open(file, formats=formats) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise BadInputError(f"{name}: {width}x{height} pixels are more than the {max_pixels} allowed")
                if max_side_px is not None:
                    image.draft("RGB", (max_side_px, max_side_px))  # a JPEG decodes at 1/2, 1/4 or 1/8 directly
                image.load()
                upright = ImageOps.exif_transpose(image) if _may_be_turned(image) else image
                rgb = _to_rgb(upright)
                if max_side_px is not None:
                    rgb.thumbnail((max_side_px, max_side_px), Image.Resampling.BOX)
                return np.array(rgb, np.uint8)  # [H, W, 3]
    except UnidentifiedImageError:
        raise BadInputError(f"{name}: no image that can be read ({', '.join(formats)})") from None
    except Image.DecompressionBombError as error:
        raise BadInputError(f"{name}: {error}") from None
    except BadInputError:
        raise
    except _DAMAGED as error:
        raise BadInputError(f"{name}: damaged or cut short: {error}") from None


def _may_be_turned(image: Image.Image) -> bool:
    """Whether the file says something about orientation: EXIF, or XMP (which may hold the same)."""
    return image.format != "JPEG" or "exif" in image.info or "xmp" in image.info


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith(("I", "F")):  # 16- or 32-bit grey: stretched to its own range
        grey = np.asarray(image, np.float32)  # [H, W]
        low, high = float(grey.min()), float(grey.max())
        scaled = (grey - low) * (255.0 / (high - low) if high > low else 0.0)  # [H, W]
        return Image.fromarray(scaled.astype(np.uint8)).convert("RGB")
    if "A" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return image.convert("RGB")
