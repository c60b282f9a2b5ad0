"""Files to raw rows: every format gives the same rows and numbers, and what is bad is told by its place."""

import csv
import gzip
import json
import random
import tracemalloc

import pytest

from envdoc.train.config import Data
from envdoc.train.data import StreamedRows, data_sha256, iterate_rows, read_rows
from envdoc.train.errors import DataError
from envdoc.train.readers import Unreadable, raw_rows

# What breaks readers: separators of lines that are none in JSON, quotes, commas, escapes, astral characters.
ODD = [
    "plain",
    'a "quote"',
    "a, b; c\td",
    "line\nbreak",
    "cr\rlf\r\n",
    "\u2028\u2029\x85",
    "\\n",
    "😀 二",
    "{}",
    "[",
    "0",
]

ROW = b'{"instruction": "Q", "output": "A"}\n'


def odd_rows(count):
    """Rows of every odd text in every place, and random mixtures."""
    dice = random.Random(11)
    texts = [*ODD, *("".join(dice.choices(ODD, k=5)) for _ in range(count))]
    return [
        {"instruction": text, "input": dice.choice(["", *ODD]), "output": dice.choice(texts)}
        for text in texts
    ]


def write_csv(path, rows, **dialect):
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, fieldnames=list(rows[0]), **dialect)
        writer.writeheader()
        writer.writerows(rows)


def refusal(path, **settings):
    with pytest.raises(DataError) as caught:
        list(iterate_rows(Data(path=str(path), **settings)))
    return caught.value.message.replace(f"`{path}`", "FILE")


def test_what_is_written_is_what_is_read(tmp_path):
    """JSON Lines, JSON, CSV and TSV, packed or not, keep every character and number rows from 1."""
    rows = odd_rows(200)
    lines = "".join(json.dumps(row, ensure_ascii=number % 2 == 0) + "\n" for number, row in enumerate(rows))
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8", newline="")
    (tmp_path / "b.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False), encoding="utf-8")
    (tmp_path / "c.json").write_text(json.dumps({"version": [1], "data": rows}), encoding="utf-8")
    write_csv(tmp_path / "d.csv", rows)
    write_csv(tmp_path / "e.csv", rows, delimiter=";", lineterminator="\n", quoting=csv.QUOTE_ALL)
    write_csv(tmp_path / "f.tsv", rows, delimiter="\t")
    for name in ("a.jsonl", "b.json", "d.csv"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))

    read = {path.name: list(raw_rows(path)) for path in tmp_path.iterdir()}

    assert 9 == len(read)
    for name, found in read.items():
        assert (name, list(enumerate(rows, 1))) == (name, found)


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_a_row(tmp_path):
    """What Windows programs add is passed over in each text format."""
    row = {"instruction": "Q", "output": "A"}
    mark = b"\xef\xbb\xbf"
    (tmp_path / "a.jsonl").write_bytes(mark + json.dumps(row).encode() + b"\r\n")
    (tmp_path / "b.json").write_bytes(mark + json.dumps([row]).encode() + b"\r\n")
    (tmp_path / "c.csv").write_bytes(mark + b"instruction,output\r\nQ,A\r\n\r\n")

    assert [[(1, row)]] * 3 == [list(raw_rows(path)) for path in sorted(tmp_path.iterdir())]


def test_a_long_list_is_read_piece_by_piece(tmp_path):
    """Rows of a .json list that are longer than a block, and cut by its end at any character, come out whole."""
    rows = [{"instruction": "二" * length, "output": "é"} for length in (1, 65535, 200000, 3, 65530)]
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")

    assert list(enumerate(rows, 1)) == list(raw_rows(path))


def test_json_lines_and_lists_are_told_apart(tmp_path):
    """`Dataset.to_json` writes JSON Lines into a .json file: they are read; a list under .jsonl is told."""
    (tmp_path / "a.json").write_bytes(b"\n" + ROW + ROW)
    (tmp_path / "b.jsonl").write_text(json.dumps([{"instruction": "Q", "output": "A"}], indent=1))

    assert [2, 3] == [row.number for row in iterate_rows(Data(path=str(tmp_path / "a.json")))]
    assert "FILE is one JSON list, and no JSON Lines." == refusal(tmp_path / "b.jsonl")


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.json", "rows.csv"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    """Going through 16 MB of rows takes under 4 MB: a reader holds a block and a row."""
    path, row, count = tmp_path / name, {"instruction": "Q" * 1000, "output": "A" * 1000}, 8_000
    with path.open("w") as stream:
        if name.endswith(".csv"):
            stream.write("instruction,output\n" + f"{row['instruction']},{row['output']}\n" * count)
        elif name.endswith(".json"):
            stream.write("[" + ",".join([json.dumps(row)] * count) + "]")
        else:
            stream.write((json.dumps(row) + "\n") * count)

    tracemalloc.start()
    seen = sum(1 for _ in iterate_rows(Data(path=str(path))))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert (count, True) == (seen, peak_bytes < 4 << 20)


def test_streamed_rows_are_read_again_by_each_loop(tmp_path):
    """`data.streaming` holds no row, and gives the same ones, as often as it is asked; a bad row is told at once."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(ROW * 3)
    held, streamed = read_rows(Data(path=str(path))), read_rows(Data(path=str(path), streaming=True))

    assert isinstance(streamed, StreamedRows)
    assert [3, held, held] == [len(streamed), tuple(streamed), tuple(streamed)]
    path.write_text('{"instruction": "Q", "output": " "}\n')
    with pytest.raises(DataError):
        read_rows(Data(path=str(path), streaming=True))


@pytest.mark.parametrize(
    "text, message",
    [
        (b'[{"instruction": "Q"', "FILE is not JSON: line 1: Expecting ',' delimiter."),
        (
            b'[\n{"instruction": "Q", "output": "A"}\n',
            "FILE is not JSON: line 3: expected `]`, and the file ends.",
        ),
        (
            b'[{"instruction": "Q", "output": "A"}] x',
            "FILE is not JSON: line 1: text after the end of the list.",
        ),
        (b"[1, 2]", "FILE, row 1, is the number 1 and no object."),
        (b'["a"]', "FILE, row 1, is text and no object."),
        (b'"text"', "FILE must hold a list of rows, and holds a str."),
        (b'{"rows": [], "data": {}}', "FILE must hold a list of rows, and holds a dict."),
        (b"[]", "The data file FILE holds no row."),
        (b"", "The data file FILE holds no row."),
        (b'[\n"\xe9"]', "FILE, line 2, is not UTF-8 text."),
        (b"\xff\xfe[\x00", "FILE is UTF-16 text."),
        (b'[{"output": "A", "output": "B"}]', "FILE, row 1, has the key `output` twice."),
        (b"[" * 100_000, "FILE is not JSON: line 1: nested too deeply to be read."),
    ],
)
def test_a_broken_json_file_is_told_with_its_line(tmp_path, text, message):
    """What is wrong, and where, in one sentence."""
    path = tmp_path / "rows.json"
    path.write_bytes(text)

    assert message == refusal(path)


@pytest.mark.parametrize(
    "text, message",
    [
        (b'{"output": NaN, "instruction": "Q"}', "FILE, row 1, has no text in `output` but the number nan."),
        (b'{"output": "A", "output": "B"}', "FILE, row 1, has the key `output` twice."),
        (b'{"messages": [{"role": "user", "role": "x"}]}', "FILE, row 1, message 1, has the key `role` twice."),
        (b"\xff\xfe{\x00", "FILE, row 1, is UTF-16 text."),
        (b"[" * 100_000, "FILE, row 1, is nested too deeply to be read."),
        (b'{"instruction": "\\ud83d", "output": "A"}',
         "FILE, row 1, holds half of a character (U+D83D alone) in `instruction`."),
    ],
)  # fmt: skip
def test_a_broken_line_is_told_with_its_number(tmp_path, text, message):
    """JSON that Python reads and no row can be is refused like what is no JSON."""
    path = tmp_path / "rows.jsonl"
    path.write_bytes(text)

    assert message == refusal(path)


@pytest.mark.parametrize(
    "text, message",
    [
        ("instruction,output\nQ,A\nQ\n", "FILE, row 2, line 3, has 1 fields, and the header names 2."),
        ('instruction,output\n"Q\nQ",A\n"Q,A\n',
         "FILE, row 2, line 4, is not CSV: a quote that is opened is never closed."),
        ('instruction,output\n"Q"Q,A\n', "FILE, row 1, line 2, is not CSV: ',' expected after '\"'."),
        ("instruction,output\nQ,\udce9\n", "FILE, row 1, line 2, is not UTF-8 text."),
        ("instruction,output,output\nQ,A,A\n", "The header of FILE has the column `output` twice."),
        ("\nQ,A\n", "FILE has no header."),
        ("instruction,output\n", "The data file FILE holds no row."),
        ("Sort.,2 1\nSort.,3 1\n", "FILE, row 1, has the keys `Sort.`, `2 1`, which is none of the shapes known."),
        ("messages\n\"[{'role': 'user'}]\"\n",
         "FILE, row 1, holds no JSON in `messages`: Expecting property name enclosed in double quotes: "
         "line 1 column 3 (char 2)."),
    ],
)  # fmt: skip
def test_a_broken_table_is_told_with_its_line(tmp_path, text, message):
    """Rows of a table are counted from below its header; the line says where an editor finds them."""
    path = tmp_path / "rows.csv"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))

    assert message == refusal(path)


def test_reading_goes_on_after_a_bad_row(tmp_path):
    """A reader says that a row is unreadable and reads the next: the report counts them all."""
    (tmp_path / "a.jsonl").write_bytes(b'{"a": 1}\n{"a"\n\xe9\n{"a": 2}')
    (tmp_path / "b.csv").write_bytes(b"a,b\n1,2\n1\n\xe9,2\n3,4\n")

    for name, last in (("a.jsonl", {"a": 2}), ("b.csv", {"a": "3", "b": "4"})):
        rows = list(raw_rows(tmp_path / name))
        assert [False, True, True, False] == [isinstance(content, Unreadable) for _, content in rows]
        assert (4, last) == rows[-1]


def test_a_conversation_in_a_cell_is_json(tmp_path):
    """A CSV column `messages` holds JSON; a cell may be longer than the csv module's own 131,072 characters."""
    turns = [{"role": "user", "content": 'Q, "x"\n'}, {"role": "assistant", "content": "A" * 200_000}]
    write_csv(tmp_path / "rows.csv", [{"id": 7, "messages": json.dumps(turns)}])

    assert [(1, tuple(turns))] == [
        (r.number, r.messages) for r in read_rows(Data(path=str(tmp_path / "rows.csv")))
    ]


@pytest.mark.parametrize(
    "name, content, message",
    [
        ("none.csv", None, "There is no data file FILE."),
        ("folder", "", "FILE is a folder, and none that `save_to_disk` of `datasets` wrote: it has no state.json."),
        ("no.jsonl.gz", b"{}\n", "The data file FILE cannot be read: Not a gzipped file (b'{}')."),
        ("cut.jsonl.gz", gzip.compress(ROW * 999)[:-12], "The data file FILE cannot be read: Compressed file "
         "ended before the end-of-stream marker was reached."),
    ],
)  # fmt: skip
def test_what_is_no_data_file_is_told(tmp_path, name, content, message):
    """A missing file, a folder of something else, and a damaged archive, each in one sentence."""
    path = tmp_path / name
    if content == "":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)

    assert message == refusal(path, format="alpaca")


def test_one_file_has_no_splits(tmp_path):
    """A split that is named and not there must not be passed over."""
    (tmp_path / "rows.jsonl").write_text("{}\n")

    assert "`data.split` is `test`, and FILE is one file without splits." == refusal(
        tmp_path / "rows.jsonl", split="test"
    )


def test_the_hash_of_a_folder_follows_its_files(tmp_path):
    """Names and bytes count; what `Dataset.map` leaves beside the data does not; a file's hash is that of its bytes."""
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "state.json").write_text("{}")
    (folder / "data-00000-of-00001.arrow").write_bytes(b"rows")
    hashes = [data_sha256(Data(path=str(folder)))]
    (folder / "cache-123.arrow").write_bytes(b"more")
    hashes.append(data_sha256(Data(path=str(folder))))
    (folder / "data-00000-of-00001.arrow").write_bytes(b"rowz")
    hashes.append(data_sha256(Data(path=str(folder))))

    assert [True, False] == [hashes[0] == hashes[1], hashes[1] == hashes[2]]
    (tmp_path / "a.jsonl").write_bytes(b"abc")
    assert "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" == data_sha256(
        Data(path=str(tmp_path / "a.jsonl"))
    )
