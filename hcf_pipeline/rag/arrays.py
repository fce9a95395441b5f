"""Names for the arrays that the parts of retrieval hand to each other."""

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
