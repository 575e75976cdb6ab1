"""`offline-hash-1`: embeddings by feature hashing of stems and of their character trigrams.

No training and no corpus statistics: a text's vector depends on that text alone, so vectors stay comparable
for ever. It finds texts that share words or parts of words; it does not know that two words mean the same.
"""

import math
from collections import Counter
from itertools import pairwise
from typing import Final
from zlib import crc32

from tenant_runtime.models.offline.words import terms

DIMENSIONS: Final = 384
_TRIGRAM_WEIGHT: Final = 0.35


def _features(text: str) -> dict[str, float]:
    """Features and weights. Repeats count logarithmically, so a long text does not drown its rare words."""
    stems = terms(text)
    features = {f"w:{term}": 1.0 + math.log(count) for term, count in Counter(stems).items()}
    for first, second in pairwise(stems):
        features[f"p:{first} {second}"] = 0.5
    for term in set(stems):
        padded = f"<{term}>"
        grams = [padded[start : start + 3] for start in range(len(padded) - 2)]
        for gram in grams:
            features[f"t:{gram}"] = features.get(f"t:{gram}", 0.0) + _TRIGRAM_WEIGHT / math.sqrt(len(grams))
    return features


def embed(text: str) -> list[float]:
    """A unit vector of DIMENSIONS numbers; the zero text gives a fixed unit vector, so cosine is defined."""
    vector = [0.0] * DIMENSIONS
    for feature, weight in _features(text).items():
        digest = crc32(feature.encode())
        vector[digest % DIMENSIONS] += weight if digest & 0x80000000 else -weight
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:
        vector[0], norm = 1.0, 1.0
    return [value / norm for value in vector]
