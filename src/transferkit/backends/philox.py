"""The random numbers that TensorFlow's stateless functions draw on a CPU, in NumPy: initial weights are the same on every backend.

Philox 4x32-10 (Salmon et al. 2011, doi:10.1145/2063384.2063405), with TensorFlow's way from seeds to keys and from bits to numbers.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_ROUNDS = 10
_FACTORS = np.array([0xD2511F53, 0xCD9E8D57], np.uint64)
_STEPS = (0x9E3779B9, 0xBB67AE85)
_WORD = np.uint64(0xFFFFFFFF)
_SCRAMBLE = (0x3EC8F720, 0x02461E29)
_RESERVED = 256  # blocks of four words that each group of four truncated normal numbers may use
_SMALLEST = np.float32(1e-7)


def uniform(shape: tuple[int, ...], seed: Any) -> NDArray[np.float32]:
    """Return float32 numbers in [0, 1), as ``tf.random.stateless_uniform`` does with two integers as the seed."""
    count = int(np.prod(shape))
    return _floats(_blocks(seed, np.arange(-(-count // 4), dtype=np.uint64))).reshape(-1)[:count].reshape(shape)


def normal(shape: tuple[int, ...], seed: Any) -> NDArray[np.float32]:
    """Return standard normal float32 numbers, as ``tf.random.stateless_normal`` does, to rounding."""
    count = int(np.prod(shape))
    bits = _blocks(seed, np.arange(-(-count // 4), dtype=np.uint64))
    return _box_muller(bits.reshape(-1, 2)).reshape(-1)[:count].reshape(shape)


def truncated_normal(shape: tuple[int, ...], seed: Any) -> NDArray[np.float32]:
    """Return standard normal float32 numbers within 2, as ``tf.random.stateless_truncated_normal`` does, to rounding."""
    count = int(np.prod(shape))
    groups = -(-count // 4)
    found = np.empty((groups, 4), np.float32)
    missing, kept = np.arange(groups), np.zeros(groups, np.int64)
    for block in range(_RESERVED):  # of each group, until it has four
        bits = _blocks(seed, (missing * _RESERVED + block).astype(np.uint64))
        for number in _box_muller(bits.reshape(-1, 2)).reshape(-1, 4).T:
            good = (np.abs(number) < 2) & (kept[missing] < 4)
            found[missing[good], kept[missing[good]]] = number[good]
            kept[missing[good]] += 1
        missing = missing[kept[missing] < 4]
        if not len(missing):
            break
    return found.reshape(-1)[:count].reshape(shape)


def _blocks(seed: Any, places: NDArray[np.uint64]) -> NDArray[np.uint32]:
    """Return four words of random bits for each place in the stream of a seed, shape (n, 4)."""
    first, second = (int(part) & (2**64 - 1) for part in seed)
    words = np.array([[first & 0xFFFFFFFF, first >> 32, second & 0xFFFFFFFF, second >> 32]], np.uint64)
    mixed = _philox(words, _SCRAMBLE)[0]
    counters = np.empty((len(places), 4), np.uint64)
    counters[:, 0], counters[:, 1] = places & _WORD, places >> np.uint64(32)
    counters[:, 2:] = mixed[2:]
    return _philox(counters, (int(mixed[0]), int(mixed[1]))).astype(np.uint32)


def _philox(counters: NDArray[np.uint64], key: tuple[int, int]) -> NDArray[np.uint64]:
    a, b, c, d = counters.T
    for turn in range(_ROUNDS):
        one, two = (np.uint64((part + turn * step) & 0xFFFFFFFF) for part, step in zip(key, _STEPS, strict=True))
        left, right = a * _FACTORS[0], c * _FACTORS[1]
        a, b, c, d = (right >> np.uint64(32)) ^ b ^ one, right & _WORD, (left >> np.uint64(32)) ^ d ^ two, left & _WORD
    return np.stack([a, b, c, d], axis=1)


def _floats(bits: NDArray[np.uint32]) -> NDArray[np.float32]:
    return ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F800000)).view(np.float32) - np.float32(1)


def _box_muller(pairs: NDArray[np.uint32]) -> NDArray[np.float32]:
    one, two = _floats(pairs).T
    angle = np.float32(2 * np.pi) * two
    length = np.sqrt(np.float32(-2) * np.log(np.maximum(one, _SMALLEST)))
    return np.stack([np.sin(angle) * length, np.cos(angle) * length], axis=1)
