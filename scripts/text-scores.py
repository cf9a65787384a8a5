"""The Python side of text-scores.mjs: scores queries by bm25s. Lines of `tokens` are texts, their words apart by spaces."""
import sys

import bm25s
import numpy

tokens, scores, allowed = sys.argv[1], sys.argv[2], float(sys.argv[3])

with open(tokens, encoding="utf-8") as lines:
    texts = [line.rstrip("\n").split(" ") if line != "\n" else [] for line in lines]
reference = bm25s.BM25(method="lucene", k1=1.2, b=0.75, dtype="float64")
reference.index(texts, show_progress=False)


def ours():
    """Each query with its rows and scores, best first."""
    with open(scores, encoding="utf-8") as lines:
        for block in lines.read().split("\n\n"):
            if block.strip():
                query, *hits = block.strip("\n").split("\n")
                pairs = [hit.split(" ") for hit in hits]
                yield query, [int(row) for row, _ in pairs], numpy.array([float(score) for _, score in pairs])


queries = rows_checked = 0
worst = 0.0
for query, rows, found in ours():
    expected = reference.get_scores(query.split(" "))
    best = numpy.sort(expected)[::-1][: len(rows)]
    assert len(rows) == min(100, numpy.count_nonzero(expected)), f"{query}: {len(rows)} rows"
    # Each row has its score, and no better row was left out.
    for what in (expected[rows], best):
        difference = float(numpy.abs(found - what).max(initial=0.0))
        worst = max(worst, difference)
        assert difference <= allowed, f"{query}: {difference} apart"
    assert all(a > b or (a == b and x < y) for a, b, x, y in zip(found, found[1:], rows, rows[1:])), f"{query}: order"
    queries += 1
    rows_checked += len(rows)
print(f"{queries} queries, {rows_checked} rows, {len(texts)} texts, at most {worst:.2e} apart")
