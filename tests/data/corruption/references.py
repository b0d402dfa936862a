"""Slow, obvious versions of the corruptions, one image at a time, written from the paper and its parameters.

Source: Hendrycks and Dietterich 2019, arXiv:1903.12261. They share the random numbers with the library, and nothing
else: normal and Poisson numbers, filters, resampling and colours come from scipy, Pillow and the standard library.
"""

import colorsys
import io
import itertools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import convolve, correlate, gaussian_filter, map_coordinates
from scipy.stats import poisson

from visionlib.data.random import Stream, random_values

Pixels = NDArray[np.uint8]
Values = NDArray[np.float64]


def draw(seed: int, number: int, stream: Stream, *shape: int) -> Values:
    """The library's random numbers between 0 and 1 of one image."""
    values = random_values(seed, torch.tensor([number]), stream, math.prod(shape))
    return values.numpy().reshape(shape)


def to_levels(fractions: Values) -> Pixels:
    """Halves are rounded up, those that float64 misses by a millionth of a level, too."""
    return np.clip(np.floor(255 * fractions + 0.5 + 1e-6), 0, 255).astype(np.uint8)


def scale(image: Pixels) -> float:
    return float(min(image.shape[1:]) / 32)


def normal(uniform: Values) -> Values:
    return np.array([NormalDist().inv_cdf(value) for value in uniform.flat]).reshape(uniform.shape)


def gaussian_noise(image: Pixels, number: int, seed: int, std: float) -> Pixels:
    return to_levels(image / 255 + std * normal(draw(seed, number, Stream.GAUSSIAN_NOISE, *image.shape)))


def shot_noise(image: Pixels, number: int, seed: int, photons: float) -> Pixels:
    uniform = draw(seed, number, Stream.SHOT_NOISE, *image.shape)
    counts = np.zeros(image.shape)
    for place in np.ndindex(image.shape):
        if image[place]:
            counts[place] = poisson.ppf(uniform[place], image[place] / 255 * photons)
    return to_levels(counts / photons)


def impulse_noise(image: Pixels, number: int, seed: int, fraction: float) -> Pixels:
    uniform = draw(seed, number, Stream.IMPULSE_NOISE, *image.shape)
    result = image.copy()
    for place in np.ndindex(image.shape):
        if uniform[place] < fraction / 2:
            result[place] = 0
        elif uniform[place] < fraction:
            result[place] = 255
    return result


def defocus_blur(image: Pixels, number: int, seed: int, radius: float, alias: float) -> Pixels:
    radius, alias, reach = radius * scale(image), alias * scale(image), math.ceil(scale(image))
    disk = np.zeros((41, 41))
    for row, column in itertools.product(range(41), repeat=2):
        disk[row, column] = (row - 20) ** 2 + (column - 20) ** 2 <= radius**2
    bell = np.array(
        [
            [math.exp(-(row**2 + column**2) / (2 * alias**2)) for column in range(-reach, reach + 1)]
            for row in range(-reach, reach + 1)
        ]
    )
    kernel = convolve(disk / disk.sum(), bell / bell.sum(), mode="constant")
    return to_levels(np.stack([correlate(channel / 255, kernel, mode="mirror") for channel in image]))


def glass_blur(image: Pixels, number: int, seed: int, sigma: float, offset: float, times: float) -> Pixels:
    _, height, width = image.shape
    reach = max(1, round(offset * scale(image)))
    sigma = sigma * scale(image)
    values = np.stack([gaussian_filter(channel / 255, sigma, mode="nearest", truncate=4) for channel in image])
    offsets = np.floor(draw(seed, number, Stream.GLASS_OFFSETS, int(times), 2, height, width) * 2 * reach) - reach
    for down, right in offsets:
        before = values.copy()
        for row, column in itertools.product(range(height), range(width)):
            from_row = min(max(row + int(down[row, column]), 0), height - 1)
            from_column = min(max(column + int(right[row, column]), 0), width - 1)
            values[:, row, column] = before[:, from_row, from_column]
    return to_levels(np.stack([gaussian_filter(channel, sigma, mode="nearest", truncate=4) for channel in values]))


def smear(channel: Values, angle: float, radius: float, sigma: float) -> Values:
    height, width = channel.shape
    result, total = np.zeros_like(channel), 0.0
    for distance in range(2 * round(radius) + 1):
        weight = math.exp(-(distance**2) / (2 * sigma**2))
        if weight < 1e-6:
            break
        total += weight
        down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
        for row, column in itertools.product(range(height), range(width)):
            near = min(max(row + down, 0), height - 1), min(max(column + right, 0), width - 1)
            result[row, column] += weight * channel[near]
    return result / total


def motion_blur(image: Pixels, number: int, seed: int, radius: float, sigma: float) -> Pixels:
    angle = math.radians(-45 + 90 * draw(seed, number, Stream.MOTION_ANGLE, 1)[0])
    size = scale(image)
    return to_levels(np.stack([smear(channel / 255, angle, radius * size, sigma * size) for channel in image]))


def magnify(channel: Values, factor: float) -> Values:
    middles = [(side - 1) / 2 for side in channel.shape]
    rows, columns = np.indices(channel.shape)
    places = [(rows - middles[0]) / factor + middles[0], (columns - middles[1]) / factor + middles[1]]
    return np.asarray(map_coordinates(channel, places, order=1, mode="nearest"))


def zoom_blur(image: Pixels, number: int, seed: int, largest: float) -> Pixels:
    factors = [1 + step / 100 for step in range(round(largest * 100) - 99)]
    mean = np.stack([np.mean([channel / 255] + [magnify(channel / 255, f) for f in factors], 0) for channel in image])
    return to_levels(mean)


def snow(image: Pixels, number: int, seed: int, *strength: float) -> Pixels:
    mean, std, zoom, threshold, radius, sigma, kept = strength
    field = mean + std * normal(draw(seed, number, Stream.SNOW_FLAKES, *image.shape[1:]))
    field = magnify(field, zoom * max(1.0, scale(image)))
    flakes = np.clip(np.where(field < threshold, 0, field), 0, 1)
    angle = math.radians(-45 - 90 * draw(seed, number, Stream.SNOW_ANGLE, 1)[0])
    flakes = smear(flakes, angle, radius * scale(image), sigma * scale(image))
    values = image / 255
    grey = values[0] if len(values) == 1 else 0.299 * values[0] + 0.587 * values[1] + 0.114 * values[2]
    whitened = kept * values + (1 - kept) * np.maximum(values, 1.5 * grey + 0.5)
    return to_levels(whitened + flakes + np.rot90(flakes, 2))


def clouds(numbers: Values, decay: float) -> Values:
    """Diamond-square on a torus, point by point."""
    side = len(numbers)
    field = {(0, 0): 0.0}
    step, amplitude = side, 1.0

    def fill(row: int, column: int, offsets: list[tuple[int, int]]) -> None:
        near = [field[(row + down) % side, (column + right) % side] for down, right in offsets]
        field[row, column] = sum(near) / 4 + amplitude * (2 * numbers[row, column] - 1)

    while step >= 2:
        half = step // 2
        corners = list(itertools.product(range(0, side, step), repeat=2))
        for row, column in corners:
            fill(row + half, column + half, [(-half, -half), (-half, half), (half, -half), (half, half)])
        for row, column in corners:
            for down, right in ((0, half), (half, 0)):
                fill(row + down, column + right, [(-half, 0), (half, 0), (0, -half), (0, half)])
        step, amplitude = half, amplitude / decay / decay
    values = np.array([[field[row, column] for column in range(side)] for row in range(side)])
    scaled: Values = (values - values.min()) / (values.max() - values.min())
    return scaled


def next_power(length: int) -> int:
    return next(side for side in (2, 4, 8, 16, 32, 64, 128) if side >= length)


def fog(image: Pixels, number: int, seed: int, amount: float, decay: float) -> Pixels:
    _, height, width = image.shape
    side = next_power(max(height, width))
    cloud = clouds(draw(seed, number, Stream.FOG, side, side), decay)[:height, :width]
    brightest = image.max() / 255
    return to_levels((image / 255 + amount * cloud) * brightest / (brightest + amount))


def frost(image: Pixels, number: int, seed: int, kept: float, amount: float) -> Pixels:
    """The distance to each branch of each crystal, one by one: branches leave the stem every `gap` at 60 degrees."""
    _, height, width = image.shape
    side, power = min(height, width), next_power(max(height, width))
    cloud = clouds(draw(seed, number, Stream.FROST_HAZE, power, power), 1.6)
    numbers = draw(seed, number, Stream.FROST_CRYSTALS, 7, 5)
    pane = np.zeros((height, width))
    for row, column in itertools.product(range(height), range(width)):
        light = 0.0
        for at_row, at_column, turn, length, gap in numbers:
            down, right = row - (1.4 * at_row - 0.2) * height, column - (1.4 * at_column - 0.2) * width
            angle, length, gap = 2 * math.pi * turn, side * (0.6 + 0.6 * length), side * (0.12 + 0.1 * gap)
            along = right * math.cos(angle) + down * math.sin(angle)
            across = abs(down * math.cos(angle) - right * math.sin(angle))
            distances = [across] if 0 <= along <= length else []
            foot = along - across / math.sqrt(3)
            if 0 <= foot <= length and across <= 0.4 * (length - foot):
                distances += [
                    abs((along - branch * gap) * math.sin(math.pi / 3) - across * math.cos(math.pi / 3))
                    for branch in range(15)
                ]
            if distances:
                light = max(light, 1 - 0.6 * min(distances) / max(1.0, 0.035 * side))
        pane[row, column] = min(1.0, 0.2 + 0.45 * cloud[row, column] + 0.6 * light)
    tint = [0.88, 0.95, 1.0] if len(image) == 3 else [(0.88 + 0.95 + 1) / 3]
    return to_levels(kept * image / 255 + amount * np.array(tint)[:, None, None] * pane)


def brightness(image: Pixels, number: int, seed: int, amount: float) -> Pixels:
    result = np.zeros(image.shape)
    for row, column in np.ndindex(image.shape[1:]):
        colour = [float(value) / 255 for value in image[:, row, column]]
        hue, saturation, value = colorsys.rgb_to_hsv(*(colour if len(colour) == 3 else colour * 3))
        result[:, row, column] = colorsys.hsv_to_rgb(hue, saturation, min(1.0, value + amount))[: len(image)]
    return to_levels(result)


def contrast(image: Pixels, number: int, seed: int, factor: float) -> Pixels:
    means = [math.fsum(channel.flatten().tolist()) / channel.size for channel in image]
    moved = [[mean + factor * (value - mean) for value in ch.flat] for ch, mean in zip(image, means, strict=True)]
    return to_levels(np.array(moved).reshape(image.shape) / 255)


def elastic_transform(image: Pixels, number: int, seed: int, amount: float, smooth: float, affine: float) -> Pixels:
    _, height, width = image.shape
    side = min(height, width)
    field = 2 * draw(seed, number, Stream.ELASTIC_FIELD, 2, height, width) - 1
    down, right = (amount * side * gaussian_filter(part, smooth * side, mode="reflect", truncate=3) for part in field)
    reach = max(1, side // 3)
    middle = np.array([height // 2, width // 2])
    points = middle + reach * np.array([[1, 1], [1, -1], [-1, -1]])
    moved = points + affine * side * (2 * draw(seed, number, Stream.ELASTIC_POINTS, 3, 2) - 1)
    # The affine map that takes the moved points back, from its three equations for rows and columns.
    back = np.linalg.solve(np.column_stack([moved, np.ones(3)]), points)
    rows, columns = np.indices((height, width)).astype(float)
    places = np.stack([rows + down, columns + right, np.ones_like(rows)], -1) @ back
    places = np.moveaxis(places, -1, 0)
    return to_levels(np.stack([map_coordinates(channel / 255, places, order=1, mode="reflect") for channel in image]))


def resize(image: Pixels, height: int, width: int) -> Pixels:
    """By a box: the mean of the pixels whose middles lie in it or on its far edge, or else of that at its middle."""
    result = np.zeros((len(image), height, width))
    for row, column in np.ndindex(height, width):
        chosen = []
        for at, new, old in ((row, height, image.shape[1]), (column, width, image.shape[2])):
            inside = [place for place in range(old) if at * old < (place + 0.5) * new <= (at + 1) * old]
            chosen.append(inside or [int((at + 0.5) * old / new)])
        result[:, row, column] = image[:, chosen[0]][:, :, chosen[1]].mean((1, 2))
    return to_levels(result / 255)


def pixelate(image: Pixels, number: int, seed: int, fraction: float) -> Pixels:
    _, height, width = image.shape
    small = resize(image, max(1, int(height * fraction)), max(1, int(width * fraction)))
    return resize(small, height, width)


def jpeg_compression(image: Pixels, number: int, seed: int, quality: float) -> Pixels:
    content = io.BytesIO()
    Image.fromarray(np.moveaxis(image, 0, 2).squeeze()).save(content, "JPEG", quality=int(quality))
    decoded = np.array(Image.open(content))
    return np.moveaxis(decoded.reshape(*image.shape[1:], len(image)), 2, 0)


def shift(image: Pixels, number: int, seed: int, distance: float) -> Pixels:
    angle = 2 * math.pi * draw(seed, number, Stream.SHIFT_ANGLE, 1)[0]
    distance *= scale(image)
    down, right = round(distance * math.sin(angle)), round(distance * math.cos(angle))
    _, height, width = image.shape
    wide = np.pad(image, ((0, 0), (10, 10), (10, 10)), mode="reflect")
    return wide[:, 10 - down : 10 - down + height, 10 - right : 10 - right + width]


def rotation(image: Pixels, number: int, seed: int, degrees: float) -> Pixels:
    angle = math.radians(degrees) * (-1 if draw(seed, number, Stream.ROTATION_SIGN, 1)[0] < 0.5 else 1)
    _, height, width = image.shape
    rows, columns = np.indices((height, width)) - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    places = [
        math.cos(angle) * rows - math.sin(angle) * columns + (height - 1) / 2,
        math.cos(angle) * columns + math.sin(angle) * rows + (width - 1) / 2,
    ]
    return to_levels(np.stack([map_coordinates(channel / 255, places, order=1, mode="reflect") for channel in image]))


def resolution(image: Pixels, number: int, seed: int, fraction: float) -> Pixels:
    _, height, width = image.shape
    small = max(1, round(width * fraction)), max(1, round(height * fraction))
    channels = []
    for channel in image:
        picture = Image.fromarray(channel.astype(np.float32)).resize(small, Image.Resampling.BILINEAR)
        channels.append(np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float64))
    return to_levels(np.stack(channels) / 255)


REFERENCES: dict[str, Callable[..., Any]] = {
    **{reference.__name__: reference for reference in (gaussian_noise, shot_noise, impulse_noise)},
    **{reference.__name__: reference for reference in (defocus_blur, glass_blur, motion_blur, zoom_blur)},
    **{reference.__name__: reference for reference in (snow, frost, fog, brightness)},
    **{reference.__name__: reference for reference in (contrast, elastic_transform, pixelate, jpeg_compression)},
    **{reference.__name__: reference for reference in (shift, rotation, resolution)},
    "jpeg_quality": jpeg_compression,
}
