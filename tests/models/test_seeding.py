"""The seed decides the initial weights, whatever other threads draw, and their numbers stay what they were."""

import random
import threading

import keras
import numpy as np

from transferkit.models._seeding import seeded


def draw(seed):
    with seeded(seed):
        return [keras.initializers.GlorotUniform()((3, 4)) for _ in range(20)]


def test_unseeded_initialisers_follow_the_seed():
    first, again, other = draw(1), draw(1), draw(2)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)
    assert not np.allclose(first[0], first[1])


def test_threads_that_draw_at_the_same_time_change_nothing():
    expected, stop = draw(1), threading.Event()

    def disturb():
        while not stop.is_set():
            random.random()
            random.randint(1, 9)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        np.testing.assert_array_equal(draw(1), expected)
    finally:
        stop.set()
        thread.join()


def test_numbers_of_others_are_left_alone():
    random.seed(5)
    expected = [random.randint(0, 10**9) for _ in range(3)]
    random.seed(5)
    seen = [random.randint(0, 10**9)]
    with seeded(1):
        inside = random.randint(0, 10**9)
        thread = threading.Thread(target=lambda: seen.append(random.randint(0, 10**9)))
        thread.start()
        thread.join()
    seen.append(random.randint(0, 10**9))
    assert seen == expected
    assert inside == random.Random(1).randint(0, 10**9)


def test_blocks_inside_one_another_have_seeds_of_their_own():
    with seeded(1):
        outer = random.randint(0, 10**9)
        with seeded(2):
            inner = random.randint(0, 10**9)
        after = random.randint(0, 10**9)
    generator = random.Random(1)
    assert [outer, after] == [generator.randint(0, 10**9) for _ in range(2)]
    assert inner == random.Random(2).randint(0, 10**9)
