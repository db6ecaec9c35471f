"""Makes the arrays in this folder, and prints the weights that tests/data.rs compares with.

Needs numpy, scipy and scikit-learn: python tests/data/make.py
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.preprocessing import normalize

here = Path(__file__).parent

# Row 1 is not sorted, row 2 is empty; sample 3 has no label.
counts = sp.csr_matrix(
    (np.array([1, 2, 3, 1, 4, 1, 7], np.float32), np.array([0, 3, 4, 1, 0, 2, 4]), np.array([0, 2, 5, 5, 7])),
    shape=(4, 6),
)
# The label 5 of sample 1 is a stored zero.
labels = sp.csr_matrix(
    (np.array([1, 1, 0, 1], np.float64), np.array([2, 0, 5, 6]), np.array([0, 1, 3, 4, 4])), shape=(4, 7)
)
sp.save_npz(here / "features.npz", counts)
sp.save_npz(here / "features-stored.npz", counts.astype(np.float64), compressed=False)
sp.save_npz(here / "labels.npz", labels)
sp.save_npz(here / "labels-bool.npz", labels.astype(bool))
sp.save_npz(here / "columns.npz", counts.tocsc())

wide = labels.copy()
wide.indptr, wide.indices = wide.indptr.astype(np.int64), wide.indices.astype(np.int64)
sp.save_npz(here / "labels-int64.npz", wide)

tf_idf = TfidfTransformer(sublinear_tf=True, norm="l2").fit_transform(counts)
tf_idf.sort_indices()
for name, array in [("tf-idf", tf_idf), ("normalized", normalize(counts))]:
    array.sort_indices()
    print(name, [round(float(x), 7) for x in array.data])

# Arrays with a fault.
sp.save_npz(here / "features-short.npz", counts[:3])
twice, infinite, beyond = counts.copy(), counts.copy(), counts.copy()
twice.indices[2:4] = 4
infinite.data[1] = np.inf
beyond._shape = (4, 3)
sp.save_npz(here / "features-twice.npz", twice)
sp.save_npz(here / "features-infinite.npz", infinite)
sp.save_npz(here / "features-beyond.npz", beyond)
