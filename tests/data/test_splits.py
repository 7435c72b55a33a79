import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from transferkit.data.splits import check_seed, merge_groups, pick_per_class, resolve_size, split_holdout
from transferkit.errors import DataError, InvalidInputError

label_vectors = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(
    lambda values: np.array(values, dtype=np.int64)
)
seeds = st.integers(0, 2**32)


@given(label_vectors, st.data(), seeds)
def test_holdout_is_a_partition_of_the_exact_size(labels, data, seed):
    size = data.draw(st.integers(0, len(labels)))
    kept, held = split_holdout(labels, size, seed=seed)
    assert len(held) == size
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(len(labels)))
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(held) > 0)


@given(label_vectors, st.data(), seeds)
def test_holdout_is_stratified_and_leaves_each_class_an_image(labels, data, seed):
    counts = np.bincount(labels)
    size = data.draw(st.integers(0, int(np.sum(np.maximum(counts - 1, 0)))))
    kept, held = split_holdout(labels, size, seed=seed)
    assert set(labels[kept]) == set(labels)
    share = counts * size / len(labels)
    taken = np.bincount(labels[held], minlength=len(counts))
    roomy = share <= counts - 1  # elsewhere the last image stays, and others give more
    several = (share >= 1) | (counts == 0)  # elsewhere a class gives its one image before its turn
    if roomy.all() and several.all():
        assert np.all(np.abs(taken - share) < 1)


@given(st.lists(st.integers(1, 30), min_size=2, max_size=8), st.data(), seeds, st.integers(1, 2))
def test_each_class_is_held_out_where_it_has_the_images(counts, data, seed, reserve):
    labels = np.repeat(np.arange(len(counts)), counts)
    able = np.array(counts) > reserve
    most = int(np.sum(np.maximum(np.array(counts) - reserve, 0)))
    assume(most >= len(counts))
    size = data.draw(st.integers(len(counts), most))
    kept, held = split_holdout(labels, size, seed=seed, reserve=reserve)
    assert len(held) == size
    assert np.array_equal(np.bincount(labels[held], minlength=len(counts)) > 0, able)
    assert (np.bincount(labels[kept], minlength=len(counts)) >= np.minimum(counts, reserve)).all()


def test_chance_decides_which_class_gives_the_odd_image():
    labels = np.arange(40) % 4
    given_by = [np.bincount(labels[split_holdout(labels, 9, seed=seed)[1]]).argmax() for seed in range(40)]
    assert set(given_by) == {0, 1, 2, 3}


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 30)), min_size=21, max_size=80), st.data(), seeds)
def test_groups_stay_on_one_side(pairs, data, seed):
    labels, groups = np.array([(label, group or index) for index, (label, group) in enumerate(pairs)]).T
    labels[:2], groups[:6] = (0, 1), range(6)
    size = data.draw(st.integers(1, len(labels) // 2))
    kept, held = split_holdout(labels, size, seed=seed, groups=groups)
    assert not set(groups[kept]) & set(groups[held])
    assert sorted([*kept, *held]) == list(range(len(labels)))
    assert len(held) > 0
    assert abs(len(held) - size) <= np.bincount(groups).max() + len(labels) / 5


def test_chance_decides_which_groups_are_held_out_however_large_they_are():
    groups = np.repeat(np.arange(40), np.linspace(5, 122, 40).astype(int))  # people with 5 to 122 photos
    labels = np.random.default_rng(0).integers(0, 3, len(groups))
    size = round(0.15 * len(labels))
    parts = [split_holdout(labels, size, seed=seed, groups=groups)[1] for seed in range(40)]
    held = [frozenset(groups[part].tolist()) for part in parts]
    assert len(set(held)) >= 35
    assert sum(39 in groups_held for groups_held in held) < 20
    assert all(abs(len(part) - size) < 122 for part in parts)


def test_no_class_loses_its_last_group():
    labels = np.repeat([0, 1, 2], [60, 200, 200])  # the first class is one object, the others ten
    groups = np.concatenate([np.zeros(60, int), 1 + np.arange(400) // 20])
    for seed in range(40):
        kept, held = split_holdout(labels, 69, seed=seed, groups=groups)
        assert set(labels[kept]) == {0, 1, 2}
        assert 40 <= len(held) <= 100


def test_classes_of_one_group_do_not_keep_others_from_being_held_out():
    labels = np.concatenate([np.repeat(np.arange(30), 20), np.repeat(np.arange(30, 60), 40)])
    groups = np.concatenate([labels[:600], 100 + np.arange(1200) // 8])  # one group each, and five each
    for seed in range(4):
        kept, held = split_holdout(labels, 275, seed=seed, groups=groups)
        assert len(set(labels[kept])) == 60
        assert set(labels[held]) == set(range(30, 60))
        assert 230 <= len(held) <= 370  # with the groups of classes that had none yet
    with pytest.raises(DataError, match="belong to 30 groups, of which none can be held out"):
        split_holdout(labels[:600], 90, seed=0, groups=groups[:600])


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=40))
def test_merged_groups_are_the_connected_components(pairs):
    first, second = np.array(pairs).T
    merged = merge_groups(len(pairs), first, second)
    assert merged[0] == 0
    assert np.unique(merged).tolist() == list(range(merged.max() + 1))
    together = np.equal.outer(first, first) | np.equal.outer(second, second)
    for _ in range(len(pairs)):
        together = (together @ together) > 0
    assert np.array_equal(np.equal.outer(merged, merged), together)


@given(st.integers(1, 6), st.integers(2, 30), st.data(), seeds)
def test_subsets_are_nested_and_balanced(num_classes, per_class, data, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(num_classes), per_class))
    small = data.draw(st.integers(1, per_class))
    large = data.draw(st.integers(small, per_class))
    inside, outside = pick_per_class(labels, small, seed=seed), pick_per_class(labels, large, seed=seed)
    assert np.isin(inside, outside).all()
    assert np.bincount(labels[outside]).tolist() == [large] * num_classes


@given(label_vectors, st.data(), seeds)
def test_equal_images_stay_on_one_side(labels, data, seed):
    groups = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(labels), max_size=len(labels))))
    groups = np.unique(groups, return_inverse=True)[1]
    size = data.draw(st.integers(0, len(labels)))
    kept, held = split_holdout(labels, size, seed=seed, equal=groups)
    assert not set(groups[kept]) & set(groups[held])
    assert len(kept) + len(held) == len(labels)
    assert len(held) <= size


def test_seeds_decide_and_nothing_else_does():
    labels = np.arange(1000) % 10
    first = split_holdout(labels, 100, seed=0)[1]
    assert np.array_equal(first, split_holdout(labels, 100, seed=0)[1])
    assert not np.array_equal(first, split_holdout(labels, 100, seed=1)[1])


def test_global_random_state_is_untouched():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    split_holdout(np.arange(100) % 3, 10, seed=0)
    pick_per_class(np.arange(100) % 3, 10, seed=0)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_smaller_holdout_lies_inside_larger_one():
    labels = np.arange(1000) % 10
    assert set(split_holdout(labels, 100, seed=3)[1]) < set(split_holdout(labels, 200, seed=3)[1])


def test_too_many_per_class_names_the_class():
    with pytest.raises(InvalidInputError, match="class 1 has 2 training images"):
        pick_per_class(np.array([0, 0, 0, 1, 1]), 3, seed=0)


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3", None])
def test_labels_per_class_must_be_positive_int(bad):
    with pytest.raises(InvalidInputError, match="labels_per_class"):
        pick_per_class(np.array([0, 1]), bad, seed=0)


@pytest.mark.parametrize("bad", [-1, 1.0, True, None, "0"])
def test_seed_must_be_an_int(bad):
    with pytest.raises(InvalidInputError, match="seed must be an int"):
        check_seed(bad)


@pytest.mark.parametrize(
    ("size", "expected"), [(0, 0), (7, 7), (0.15, 15), (0.0, 0), (np.int64(3), 3), (np.float32(0.5), 50)]
)
def test_sizes_are_counts_or_fractions(size, expected):
    assert resolve_size(size, 100, name="validation") == expected


@pytest.mark.parametrize("bad", [-1, -0.1, 1.0, 2.5, True, None, "10", 100, float("nan"), float("inf")])
def test_bad_sizes_are_refused(bad):
    with pytest.raises(InvalidInputError, match="validation"):
        resolve_size(bad, 100, name="validation")


@settings(max_examples=20)
@given(st.integers(0, 2**63))
def test_large_seeds_work(seed):
    assert len(split_holdout(np.array([0, 1, 0, 1]), 2, seed=seed)[1]) == 2


@given(st.lists(st.integers(3, 6), min_size=2, max_size=5), st.integers(1, 9), st.integers(0, 99))
def test_every_class_with_three_groups_is_tested_validated_and_trained(numbers, photographs, seed):
    """Each group belongs to one class, as patients do to a disease."""
    groups = np.repeat(np.arange(sum(numbers)), photographs)
    labels = np.repeat(np.repeat(np.arange(len(numbers)), numbers), photographs)
    size = max(len(numbers), round(0.15 * len(labels)))
    rest, test = split_holdout(labels, size, seed=seed, groups=groups, reserve=2)
    train, validation = split_holdout(labels[rest], size, seed=seed, groups=groups[rest])
    for part in (labels[test], labels[rest][validation], labels[rest][train]):
        assert set(part) == set(labels)


def test_a_class_of_two_groups_is_kept_for_validation():
    labels, groups = np.repeat([0, 0, 1, 1], 5), np.repeat(np.arange(4), 5)
    with pytest.raises(DataError, match="each class must keep 2, one of them for validation.*validation=0"):
        split_holdout(labels, 3, seed=0, groups=groups, reserve=2)
    for seed in range(9):
        for part in split_holdout(labels, 3, seed=seed, groups=groups):
            assert set(labels[part]) == {0, 1}
