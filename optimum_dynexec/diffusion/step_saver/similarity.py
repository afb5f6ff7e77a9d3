"""The similarity of two images."""

import numpy as np
from skimage.metrics import structural_similarity


def ssim(x: np.ndarray, y: np.ndarray) -> float:
    """
    Structural similarity (Wang et al. 2004), with the Gaussian window of the paper, which is narrower for images
    under 11 pixels.

    Args:
        x (`np.ndarray` of shape `[height, width, 3]`, uint8): an image.
        y (`np.ndarray` of the same shape and type): another image.

    Returns:
        `float`: the similarity: 1 for equal images, less for others.
    """
    side = min(11, *x.shape[:2])
    return float(
        structural_similarity(
            x,
            y,
            channel_axis=-1,
            data_range=255,
            gaussian_weights=side == 11,
            sigma=1.5,
            use_sample_covariance=False,
            win_size=side - 1 + side % 2,
        )
    )
