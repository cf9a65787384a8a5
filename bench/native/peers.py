"""Builds and searches hnswlib and faiss graphs, told what to do by lines of JSON on standard input.

Queries go to each library in one call with one thread, so that nothing of Python is timed.
"""

import json
import os
import sys
import time

import faiss
import hnswlib
import numpy


def read(path, kind):
    with open(path, "rb") as file:
        rows, dim = numpy.fromfile(file, dtype="<u4", count=2)
        return numpy.fromfile(file, dtype=kind).reshape(int(rows), int(dim))


class Hnswlib:
    version = "0.8.0"

    def build(self, base, m, efc, threads):
        rows, dim = base.shape
        self.index = hnswlib.Index(space="l2", dim=dim)
        started = time.perf_counter()
        self.index.init_index(max_elements=rows, ef_construction=efc, M=m)
        self.index.add_items(base, numpy.arange(rows), num_threads=threads)
        return time.perf_counter() - started

    def save(self, path):
        self.index.save_index(path)

    def load(self, path, dim):
        self.index = hnswlib.Index(space="l2", dim=dim)
        self.index.load_index(path)

    def search(self, queries, k, ef):
        self.index.set_ef(ef)
        started = time.perf_counter()
        ids, _ = self.index.knn_query(queries, k=k, num_threads=1)
        return time.perf_counter() - started, ids


class Faiss:
    version = faiss.__version__

    def build(self, base, m, efc, threads):
        faiss.omp_set_num_threads(threads)
        self.index = faiss.IndexHNSWFlat(base.shape[1], m)
        self.index.hnsw.efConstruction = efc
        started = time.perf_counter()
        self.index.add(base)
        return time.perf_counter() - started

    def save(self, path):
        faiss.write_index(self.index, path)

    def search(self, queries, k, ef):
        faiss.omp_set_num_threads(1)
        self.index.hnsw.efSearch = ef
        started = time.perf_counter()
        _, ids = self.index.search(queries, k)
        return time.perf_counter() - started, ids


class Session:
    def __init__(self, engine, folder, dataset, queries):
        self.engine = {"hnswlib": Hnswlib, "faiss": Faiss}[engine]()
        path = os.path.join(folder, dataset)
        self.base_path = path + ".base.u8bin"
        asked = read(path + ".query.u8bin", "u1")[:queries]
        self.queries = numpy.ascontiguousarray(asked, dtype="f4")

    def version(self):
        return self.engine.version

    def build(self, m, efc, threads):
        base = numpy.ascontiguousarray(read(self.base_path, "u1"), dtype="f4")
        return {"seconds": self.engine.build(base, m, efc, threads), "rows": len(base)}

    def save(self, path):
        self.engine.save(path)
        return os.path.getsize(path)

    def load(self, path):
        self.engine.load(path, self.queries.shape[1])

    def pin(self, core):
        if hasattr(os, "sched_setaffinity"):
            for thread in os.listdir("/proc/self/task"):
                os.sched_setaffinity(int(thread), {core})
            return True
        return False

    def sweep(self, k, efs, verify):
        results = []
        for ef in efs:
            seconds, ids = self.engine.search(self.queries, k, ef)
            result = {"ef": ef, "seconds": seconds, "queries": len(self.queries)}
            if verify:
                result["answers"] = ids.tolist()
            results.append(result)
        return results


def main():
    session = Session(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
    for line in sys.stdin:
        call = json.loads(line)
        try:
            reply = {"value": getattr(session, call["name"])(*call["args"])}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


main()
