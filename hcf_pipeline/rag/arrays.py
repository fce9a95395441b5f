"""Names for the arrays that the parts of retrieval hand to each other, and rows drawn from them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (texts, dim) unit vectors, or one of them
Halves = npt.NDArray[np.float16]  # as Vectors, in the files of an index
Floats = npt.NDArray[np.float32]
Weights = npt.NDArray[np.float64]
Ids = npt.NDArray[np.int64]  # positions of rows, or numbers made from chunk ids
Ints = npt.NDArray[np.int64]
Places = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


def spread(n_rows: int, n: int) -> Ids:
    """n of some rows at even distances, in ascending order; all of them, where there are fewer."""
    return np.linspace(0, n_rows - 1, min(n, n_rows)).astype(np.int64)
