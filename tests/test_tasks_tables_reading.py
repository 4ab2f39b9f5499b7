"""Reading tables: the same columns from every kind of file, and what is wrong by line, row and column."""

import numpy as np
import pandas as pd
import pytest

from qnn.errors import TableError, UnknownNameError
from qnn.tasks.tables import read_table

FRAME = pd.DataFrame(
    {"size": [1.5, 2.0, None], "count": [3, 4, 5], "colour": ["red", None, "dark, blue"], "fresh": [True, False, True]}
)


def csv(folder, text, name="data.csv"):
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def content(table):
    return {name: column.labels().tolist() for name, column in table.columns.items()}


def test_every_kind_of_file_gives_the_same_table(tmp_path):
    FRAME.to_csv(tmp_path / "a.csv", index=False)
    FRAME.to_csv(tmp_path / "a.tsv", index=False, sep="\t")
    FRAME.to_csv(tmp_path / "german.csv", index=False, sep=";", decimal=",", encoding="utf-8-sig")
    FRAME.to_parquet(tmp_path / "a.parquet")
    FRAME.set_index("size", drop=False).rename_axis("id").astype({"colour": "category"}).to_parquet(
        tmp_path / "b.parquet", index=False
    )
    arrays = {name: FRAME[name].to_numpy() for name in ("size", "count", "fresh")}
    np.savez(tmp_path / "a.npz", colour=np.array(["red", "", "dark, blue"]), **arrays)
    expected = content(read_table(FRAME))
    assert expected == {
        "size": ["1.5", "2", None],
        "count": ["3", "4", "5"],
        "colour": ["red", None, "dark, blue"],
        "fresh": ["True", "False", "True"],
    }
    for name in ("a.csv", "a.tsv", "german.csv", "a.parquet", "b.parquet", "a.npz"):
        table = read_table(tmp_path / name)
        assert content(table) == expected, name
        assert table.column("size").is_number and table.column("count").is_number, name


def test_arrays_get_names(tmp_path):
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(2, 3))
    np.save(tmp_path / "s.npy", np.array([(1, 2.5)], dtype=[("a", int), ("b", float)]))
    np.savez(tmp_path / "xy.npz", x=np.zeros((4, 2)), y=np.arange(4))
    assert read_table(tmp_path / "x.npy").names == ["x0", "x1", "x2"]
    assert read_table(tmp_path / "x.npy").column("x2").numbers.tolist() == [2, 5]
    assert read_table(tmp_path / "s.npy").names == ["a", "b"]
    assert read_table(tmp_path / "xy.npz").names == ["x0", "x1", "y"]


def test_csv_quotes_line_breaks_and_lines(tmp_path):
    path = csv(tmp_path, 'name , note\r\n"a ""b""", "two\r\nlines"\r\n\r\n  c  ,NA\r\n')
    table = read_table(path)
    assert content(table) == {"name": ['a "b"', "c"], "note": ["two\r\nlines", None]}
    assert table.place(1) == "row 2 (line 5)"


def test_csv_numbers(tmp_path):
    path = csv(tmp_path, "a,b,c,d,e\n1e5,1_000,01234,9007199254740993,-inf\n.5,2,02345,9007199254740992,1\n")
    table = read_table(path)
    assert table.column("a").numbers.tolist() == [1e5, 0.5]
    assert not table.column("b").is_number  # a text that Python would read as a number
    assert table.column("c").labels().tolist() == ["01234", "02345"]  # a number, but as a label it keeps its zero
    assert table.column("d").labels().tolist() == ["9007199254740993", "9007199254740992"]  # not one float64
    assert table.column("e").numbers.tolist() == [-np.inf, 1]


def test_thousands_of_columns(tmp_path):
    names = [f"c{i}" for i in range(4000)]
    path = csv(tmp_path, ",".join(names) + "\n" + ",".join(["1.5"] * 4000) + "\n")
    assert len(read_table(path).names) == 4000
    with pytest.raises(TableError, match='no column "x" among its 4000'):
        read_table(path).column("x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n3\n4,5\n6,7,8\n", r"2 cells like its header; got 1 in line 3, 3 in line 5\. Quote"),
        ("a,b\n" + "1\n" * 7, r"got 1 in line 2, .* 1 in line 6 and 2 lines more"),
        ('a,b\n1,2\n"open,3\n4,5\n', "a quote that is not closed in the row of line 3"),
        ('a,b\n1,"x"y\n', r"got ',' expected after '\"' in the row of line 2"),
        ("a,b,a\n1,2,3\n", r'different names; got "a" \(2 times\)'),
        (",a\n0,1\n", r"got none for column 1 of 2\..*index=False"),
        ("1,2\n3,4\n", "line of column names; got the numbers 1, 2"),
        ("a,b\n", "at least one row of data"),
        ("", "empty file"),
        (b"a,b\n1,\xe9\n", "must be UTF-8; got the byte 0xe9 in line 2"),
        ("a,b\n1,2\n".encode("utf-16"), "got UTF-16"),
    ],
)
def test_bad_csv(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read_table(csv(tmp_path, text))


def test_bad_files(tmp_path):
    with pytest.raises(TableError, match=r"ending in \.csv, .*; got \"data.xlsx\""):
        read_table("data.xlsx")
    with pytest.raises(TableError, match="No such file"):
        read_table(tmp_path / "none.csv")
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object))
    with pytest.raises(TableError, match="Python objects, which only a pickle"):
        read_table(tmp_path / "objects.npy")
    for name in ("a.npy", "a.npz", "a.parquet"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 something else")
        with pytest.raises(TableError, match=r"something else or a part of one|which only a pickle"):
            read_table(tmp_path / name)
    np.savez(tmp_path / "lengths.npz", x=np.zeros(3), y=np.zeros(2))
    with pytest.raises(TableError, match='equally many rows; got 3 in "x" and 2 in "y"'):
        read_table(tmp_path / "lengths.npz")
    np.save(tmp_path / "images.npy", np.zeros((2, 3, 3)))
    with pytest.raises(TableError, match=r"got \(2, 3, 3\)"):
        read_table(tmp_path / "images.npy")


def test_columns_that_are_no_numbers_and_no_texts():
    table = read_table(
        {"when": np.array(["2024-01-05"], dtype="datetime64[D]"), "x": [1], "o": [[1, 2]], "c": [1 + 1j]}
    )
    for name in ("when", "o", "c"):
        with pytest.raises(TableError, match=f'Column "{name}" of data must hold numbers or texts; got'):
            table.column(name)
    with pytest.raises(UnknownNameError, match=r'No column of data named "wen". Did you mean "when"'):
        table.column("wen")
    with pytest.raises(TableError, match="a dictionary of columns; got ndarray"):
        read_table(np.zeros((2, 2)))
    assert read_table(pd.DataFrame({"a": [1, 2]}, dtype="Int64").astype(object)).column("a").is_number
