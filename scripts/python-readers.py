"""The Python side of python-readers.mjs: reads what it wrote, and writes what it reads. A failed assertion ends it."""
import datetime
import json
import sys

import duckdb
import numpy
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

name, directory, rows, dim = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])


def path(file):
    return f"{directory}/{file}"


def vector(at):
    return numpy.sin(numpy.arange(at * dim, at * dim + dim, dtype="f8")).astype("f4")


def key(at):
    return f"k{at:05}"


def instant(at):
    start = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return start + datetime.timedelta(milliseconds=1_700_000_000_000 + at)


def check_table(table):
    assert table.num_rows == rows, table.num_rows
    columns = table.to_pydict()
    assert columns["key"] == [key(at) for at in range(rows)]
    for at in range(rows):
        assert numpy.abs(numpy.asarray(columns["body"][at], "f4") - vector(at)).max() < 1e-6, at
        full = at % 3 != 0
        assert columns["n"][at] == (2**60 + at if full else None)
        assert columns["price"][at] == (at / 7 if full else None)
        assert columns["isNew"][at] == (at % 2 == 0 if full else None)
        assert columns["seen"][at] == (instant(at) if full else None)
        assert columns["tags"][at] == ([f"t{at % 4}", "\u00e9"] if full else None)
        assert columns["raw"][at] == (bytes([at & 255, 0]) if full else None)
        assert columns["title"][at] == (f"title {at}" if full and at % 5 else None)
        extra = columns["_extra"][at]
        if full:
            rest = {"other": {"at": at}} if at % 5 else {"title": None, "other": {"at": at}}
            assert json.loads(extra) == rest, extra
        else:
            assert extra is None


def pyarrow_arrow():
    with pyarrow.ipc.open_file(path("docs.arrow")) as reader:
        table = reader.read_all()
    table.validate(full=True)
    assert table.schema.field("body").type == pyarrow.list_(pyarrow.field("item", pyarrow.float32(), False), dim)
    assert table.schema.field("seen").type == pyarrow.timestamp("ms", "UTC")
    assert json.loads(table.schema.metadata[b"cairn"])["schema"]["vectors"]["body"]["dim"] == dim
    check_table(table)
    with pyarrow.ipc.open_stream(path("docs.arrows")) as reader:
        table = reader.read_all()
    table.validate(full=True)
    check_table(table)


def pyarrow_parquet():
    file = pyarrow.parquet.ParquetFile(path("docs.parquet"))
    assert file.num_row_groups == -(-rows // 700), file.num_row_groups
    table = file.read()
    table.validate(full=True)
    assert table.schema.field("seen").type == pyarrow.timestamp("ms", "UTC")
    check_table(table)


def duckdb_parquet():
    with_names = duckdb.sql(f"select * from '{path('docs.parquet')}' order by key")
    types = dict(zip(with_names.columns, map(str, with_names.types)))
    assert types["body"] == "FLOAT[]" and types["n"] == "BIGINT" and types["raw"] == "BLOB", types
    query = f"select count(*), sum(price), min(seen), count(title), sum(len(body)) from '{path('docs.parquet')}'"
    count, prices, first, titles, parts = duckdb.sql(query).fetchone()
    full = [at for at in range(rows) if at % 3]
    assert count == rows and parts == rows * dim
    assert abs(prices - sum(at / 7 for at in full)) < 1e-6
    assert first == instant(1), first
    assert titles == len([at for at in full if at % 5])


def duckdb_jsonl():
    query = f"select key, vector, fields from read_ndjson('{path('docs.jsonl')}') where key is not null order by key"
    found = duckdb.sql(query).fetchall()
    assert [row[0] for row in found] == [key(at) for at in range(rows)]
    assert numpy.array_equal(numpy.asarray(found[7][1], "f4"), numpy.load(path("docs.npy"))[7])


def keys():
    with open(path("docs.npy.keys.jsonl"), encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def numpy_npy():
    matrix = numpy.load(path("docs.npy"))
    assert matrix.dtype == numpy.dtype("<f4") and matrix.shape == (rows, dim)
    mapped = numpy.load(path("docs.npy"), mmap_mode="r")
    assert numpy.array_equal(matrix, mapped)
    assert keys() == [key(at) for at in range(rows)]
    for at in range(rows):
        assert numpy.abs(matrix[at] - vector(at)).max() < 1e-6


def numpy_fvecs():
    raw = numpy.fromfile(path("docs.fvecs"), "<i4").reshape(rows, dim + 1)
    assert (raw[:, 0] == dim).all()
    assert numpy.array_equal(raw[:, 1:].copy().view("<f4"), numpy.load(path("docs.npy")))


def write():
    # What JavaScript's sine gives, bit for bit.
    matrix = numpy.load(path("docs.npy"))
    numpy.save(path("py-f4.npy"), matrix)
    numpy.save(path("py-f8.npy"), matrix.astype("f8"))
    numpy.save(path("py-big.npy"), matrix.astype(">f4"))
    body = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(matrix.reshape(-1)), dim)
    table = pyarrow.table(
        {
            "id": pyarrow.array([key(at) for at in range(rows)]).dictionary_encode(),
            "body": body,
            "n": pyarrow.array(range(rows), pyarrow.int32()),
            "price": [at / 7 for at in range(rows)],
            "seen": pyarrow.array([instant(at) for at in range(rows)], pyarrow.timestamp("us", "UTC")),
            "tags": [[f"t{at}"] for at in range(rows)],
            "raw": [b"\x01\x00"] * rows,
            "at": [{"x": at} for at in range(rows)],
            "maybe": [f"m{at}" if at % 2 else None for at in range(rows)],
        }
    )
    with pyarrow.ipc.new_file(path("py.arrow"), table.schema) as writer:
        writer.write_table(table, max_chunksize=500)
    with pyarrow.ipc.new_stream(path("py.arrows"), table.schema) as writer:
        writer.write_table(table, max_chunksize=500)
    for codec in ["none", "snappy", "gzip", "brotli"]:
        pyarrow.parquet.write_table(table, path(f"py-{codec}.parquet"), compression=codec, row_group_size=900)
    with pyarrow.ipc.open_file(path("docs.arrow")) as reader:
        again = reader.read_all()
    with pyarrow.ipc.new_file(path("again.arrow"), again.schema) as writer:
        writer.write_table(again)
    pyarrow.parquet.write_table(pyarrow.parquet.read_table(path("docs.parquet")), path("again.parquet"))


globals()[name]()
