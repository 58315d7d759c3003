from __future__ import annotations

import numpy as np
import pytest

from qcore.errors import DataError, InvalidRecipe
from qcore.suffix.folds import k_folds, read_folds, temporal_split
from tests.suffix.factories import log_of

LOG = log_of(["ABC", "ABD", "ACD", "BCD", "ABC", "CAD", "ABC", "DAB", "CBA", "DCB"])


def fold_file(folder, rows):
    path = folder / "folds.csv"
    path.write_text("case,test_fold,val_folds\n" + "\n".join(rows) + "\n")
    return path


def test_a_fold_file_names_test_and_validation_cases_of_each_fold(tmp_path):
    log = log_of(["ABC", "ABD", "ACD", "BCD"])
    rows = ["case 0,0,", "case 1,1,0", "case 2,,1", "case 3,,", "case 99,0,"]
    first, second = read_folds(fold_file(tmp_path, rows), log)
    assert (list(first.test), list(first.validate), list(first.train)) == ([0], [1], [2, 3])
    assert (list(second.test), list(second.validate), list(second.train)) == ([1], [2], [0, 3])


def test_validation_cases_are_drawn_where_nobody_names_them(tmp_path):
    log = log_of(["ABC"] * 10)
    rows = [f"case {i},{i // 5},{'1' if i == 0 else ''}" for i in range(10)]
    path = fold_file(tmp_path, rows)
    first, second = read_folds(path, log)
    assert len(first.validate) == 1
    assert set(first.validate) <= set(range(5, 10))
    assert list(second.validate) == [0]  # the file's own
    again, other = read_folds(path, log, drawn=True)
    assert list(again.validate) == list(first.validate)
    assert list(other.test) == list(second.test)
    assert sorted([*other.train, *other.validate]) == list(range(5))


def test_k_folds_test_every_case_once_and_share_none():
    splits = k_folds(LOG, 5, seed=3)
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(10))
    for split in splits:
        parts = np.concatenate([split.train, split.validate, split.test])
        assert sorted(parts) == list(range(10))


def test_a_temporal_split_tests_on_the_latest_cases():
    split = temporal_split(LOG, validation=0.2, test=0.3)
    assert (list(split.train), list(split.validate), list(split.test)) == (
        [0, 1, 2, 3, 4],
        [5, 6],
        [7, 8, 9],
    )


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (["case 0,0,"], "does not name 3 of 4 cases"),
        ([f"case {i},," for i in range(4)], "names no test fold"),
        ([f"case {i},one," for i in range(4)], "has the fold 'one'"),
        ([f"case {i},0," for i in range(4)], "no case is left to train"),
    ],
)
def test_a_bad_fold_file_is_refused(tmp_path, rows, says):
    with pytest.raises(DataError, match=says):
        read_folds(fold_file(tmp_path, rows), log_of(["ABC", "ABD", "ACD", "BCD"]))


def test_a_fold_file_without_its_columns_is_refused(tmp_path):
    path = tmp_path / "folds.csv"
    path.write_text("case,fold\n1,2\n")
    with pytest.raises(DataError, match="no column 'test_fold'"):
        read_folds(path, LOG)


@pytest.mark.parametrize("folds", [1, 11])
def test_impossible_numbers_of_folds_are_refused(folds):
    with pytest.raises(InvalidRecipe, match=f"{folds} folds of 10 cases"):
        k_folds(LOG, folds)


def test_impossible_shares_are_refused():
    with pytest.raises(InvalidRecipe, match="take 110% of the cases"):
        temporal_split(LOG, validation=0.5, test=0.6)
    with pytest.raises(InvalidRecipe, match="share for validation is 0"):
        k_folds(LOG, 2, validation=0)
