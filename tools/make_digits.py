"""Write src/robnas/data/digits.npz from scikit-learn's copy of the digits: run once, and whenever the file is to be checked by hand."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

if __name__ == "__main__":
    digits = load_digits()
    path = Path(__file__).parents[1] / "src" / "robnas" / "data" / "digits.npz"
    np.savez_compressed(path, images=digits.images.astype(np.uint8), labels=digits.target.astype(np.uint8))
    print(f"{path}: {len(digits.target)} images, {path.stat().st_size} bytes")
