"""What a tile may look like on another day, from another sensor.

Changes of pixels are Albumentations transforms; each here stands for something that happens between the ground and the
delivered file.
"""

from typing import Any

import albumentations as A
import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]


class CoarserSensor(A.ImageOnlyTransform):
    """The same ground through a coarser or a sharpened sensor: reduced by a factor, brought back, often sharpened.

    Args:
        reduction: range of the factor; 1 leaves the resolution as it is.
        sharpen: probability that the delivered product was sharpened.
        p: probability of the change.
    """

    def __init__(self, reduction: tuple[float, float] = (1.0, 2.5), sharpen: float = 0.6, p: float = 0.5) -> None:
        super().__init__(p=p)
        self.reduction = reduction
        self.sharpen = sharpen

    def get_params(self) -> dict[str, Any]:
        """Draw the factor, near 1 more often, and strength and width of the sharpening."""
        sharp = self.py_random.random() < self.sharpen
        least, most = self.reduction
        return {
            "factor": least + (most - least) * self.py_random.random() ** 2,
            "gain": self.py_random.uniform(0.3, 1.4) if sharp else 0.0,
            "sigma": self.py_random.uniform(0.7, 1.8),
        }

    def apply(self, img: Image, factor: float = 1.0, gain: float = 0.0, sigma: float = 1.0, **_: object) -> Image:
        """Apply to an image H x W x 3."""
        height, width = img.shape[:2]
        small = (max(1, round(width / factor)), max(1, round(height / factor)))
        back = cv2.resize(
            cv2.resize(img, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC
        )
        if gain:
            back = cv2.addWeighted(back, 1 + gain, cv2.GaussianBlur(back, (0, 0), sigma), -gain, 0)
        return np.asarray(back, dtype=np.uint8)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Names of the arguments, for serialisation into checkpoints."""
        return ("reduction", "sharpen")


class Haze(A.ImageOnlyTransform):
    """Light scattered into the view: the picture is mixed with one pale, slightly coloured veil.

    Args:
        strength: range of the veil's share.
        p: probability of the change.
    """

    def __init__(self, strength: tuple[float, float] = (0.1, 0.5), p: float = 0.2) -> None:
        super().__init__(p=p)
        self.strength = strength

    def get_params(self) -> dict[str, Any]:
        """Draw the veil's share and its colour."""
        level = self.py_random.uniform(140, 230)
        veil = tuple(level + self.py_random.uniform(-15, 15) for _ in range(3))
        return {"share": self.py_random.uniform(*self.strength), "veil": veil}

    def apply(
        self, img: Image, share: float = 0.0, veil: tuple[float, float, float] = (0.0, 0.0, 0.0), **_: object
    ) -> Image:
        """Apply to an image H x W x 3."""
        levels = np.arange(256, dtype=np.float32)[:, None] * (1 - share) + np.array(veil, dtype=np.float32) * share
        table = np.rint(levels).clip(0, 255).astype(np.uint8).reshape(1, 256, 3)
        return np.asarray(cv2.LUT(img, table), dtype=np.uint8)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Names of the arguments, for serialisation into checkpoints."""
        return ("strength",)


class SoftPatch(A.ImageOnlyTransform):
    """A few small places out of focus, as where a picture was mosaicked, compressed or retouched.

    Args:
        patches: range of their number.
        size_px: range of their edges.
        p: probability of the change.
    """

    def __init__(self, patches: tuple[int, int] = (1, 6), size_px: tuple[int, int] = (6, 24), p: float = 0.2) -> None:
        super().__init__(p=p)
        self.patches = patches
        self.size_px = size_px

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw the rectangles (x, y, w, h) and the blur."""
        height, width = params["shape"][:2]
        rectangles = []
        for _ in range(self.py_random.randint(*self.patches)):
            w, h = (self.py_random.randint(*self.size_px) for _ in range(2))
            x, y = self.py_random.randrange(max(1, width - w)), self.py_random.randrange(max(1, height - h))
            rectangles.append((x, y, w, h))
        return {"rectangles": rectangles, "sigma": self.py_random.uniform(1.0, 2.5)}

    def apply(
        self, img: Image, rectangles: list[tuple[int, int, int, int]] | None = None, sigma: float = 1.0, **_: object
    ) -> Image:
        """Apply to an image H x W x 3."""
        result = img.copy()
        for x, y, w, h in rectangles or []:
            result[y : y + h, x : x + w] = cv2.GaussianBlur(img[y : y + h, x : x + w], (0, 0), sigma)
        return result

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Names of the arguments, for serialisation into checkpoints."""
        return ("patches", "size_px")


class CloudShadow(A.ImageOnlyTransform):
    """A soft-edged half plane in shadow, as of a cloud or a tall building outside the tile.

    Args:
        depth: range of the light that is left in the shadow.
        p: probability of the change.
    """

    def __init__(self, depth: tuple[float, float] = (0.35, 0.8), p: float = 0.15) -> None:
        super().__init__(p=p)
        self.depth = depth

    def get_params(self) -> dict[str, Any]:
        """Draw direction, place, softness and depth of the edge."""
        return {
            "angle": self.py_random.uniform(0, 2 * np.pi),
            "place": self.py_random.uniform(-0.35, 0.35),
            "soft": self.py_random.uniform(0.01, 0.15),
            "left": self.py_random.uniform(*self.depth),
        }

    def apply(
        self, img: Image, angle: float = 0.0, place: float = 0.0, soft: float = 0.1, left: float = 1.0, **_: object
    ) -> Image:
        """Apply to an image H x W x 3."""
        height, width = img.shape[:2]
        x = np.linspace(-0.5, 0.5, width, dtype=np.float32)[None, :]
        y = np.linspace(-0.5, 0.5, height, dtype=np.float32)[:, None]
        lit = ((x * np.float32(np.cos(angle)) + y * np.float32(np.sin(angle)) - place) / soft + 0.5).clip(0, 1)
        light = (left + (1 - left) * lit).astype(np.float32)
        return np.asarray(cv2.multiply(img, cv2.merge([light, light, light]), dtype=cv2.CV_8U), dtype=np.uint8)

    def get_transform_init_args_names(self) -> tuple[str, ...]:
        """Names of the arguments, for serialisation into checkpoints."""
        return ("depth",)


def pixel_transforms(strength: float = 1.0) -> list[A.BasicTransform | A.BaseCompose]:
    """The changes of pixels, in the order of the imaging chain: light, air, optics, sensor, product, file.

    Args:
        strength: scales every probability; 0 gives transforms that never act.
    """
    return [
        CloudShadow(p=0.12 * strength),
        A.RandomGamma(gamma_limit=(65, 150), p=0.35 * strength),
        A.RandomToneCurve(scale=0.15, p=0.15 * strength),
        A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.25, p=0.3 * strength),
        A.HueSaturationValue(hue_shift_limit=8, sat_shift_limit=30, val_shift_limit=10, p=0.3 * strength),
        A.ChannelShuffle(p=0.2 * strength),  # liveries that no renderer thought of: shape decides, not colour
        A.ToGray(p=0.28 * strength),
        Haze(p=0.15 * strength),
        CoarserSensor(p=0.65 * strength),
        A.GaussNoise(std_range=(0.01, 0.06), noise_scale_factor=1.0, p=0.15 * strength),
        A.GaussNoise(std_range=(0.01, 0.06), noise_scale_factor=0.5, p=0.2 * strength),
        SoftPatch(p=0.15 * strength),
        A.ImageCompression(quality_range=(35, 95), p=0.3 * strength),
    ]
