# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: initializedcheck=False, auto_pickle=False, autotestdict=False
"""Prometheus exposition of many series: prefixes rendered once, numbers written losslessly without the GIL."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from *:
    """
    #include <charconv>
    static inline char *rampd_number(char *at, double value) { return std::to_chars(at, at + 32, value).ptr; }
    """
    char *rampd_number(char *at, double value) noexcept nogil

cdef enum:
    NUMBER = 33


cdef class Series:
    cdef char *text
    cdef Py_ssize_t *ends
    cdef readonly Py_ssize_t count
    cdef Py_ssize_t size

    def __cinit__(self, list prefixes):
        cdef Py_ssize_t i
        cdef Py_ssize_t at = 0
        cdef bytes prefix
        self.count = len(prefixes)
        self.size = sum(map(len, prefixes))
        self.text = <char *>malloc(self.size + 1)
        self.ends = <Py_ssize_t *>malloc((self.count + 1) * sizeof(Py_ssize_t))
        if self.text == NULL or self.ends == NULL:
            raise MemoryError
        self.ends[0] = 0
        for i in range(self.count):
            prefix = prefixes[i]
            memcpy(self.text + at, PyBytes_AS_STRING(prefix), len(prefix))
            at += len(prefix)
            self.ends[i + 1] = at

    def __dealloc__(self):
        free(self.text)
        free(self.ends)

    def render(self, const double[::1] values, const uint8_t[::1] shown):
        cdef Py_ssize_t i, length
        cdef char *out
        cdef char *at
        if values.shape[0] != self.count or shown.shape[0] != self.count:
            raise ValueError(f"{values.shape[0]} values and {shown.shape[0]} marks for {self.count} series")
        out = <char *>malloc(self.size + NUMBER * self.count + 1)
        if out == NULL:
            raise MemoryError
        try:
            with nogil:
                at = out
                for i in range(self.count):
                    if not shown[i]:
                        continue
                    length = self.ends[i + 1] - self.ends[i]
                    memcpy(at, self.text + self.ends[i], length)
                    at = rampd_number(at + length, values[i])
                    at[0] = b"\n"
                    at += 1
            return PyBytes_FromStringAndSize(out, at - out)
        finally:
            free(out)
