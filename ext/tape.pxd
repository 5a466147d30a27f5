from libc.stdint cimport int64_t, uint8_t, uint64_t
from rampd.ext cimport image

cdef class Tape:
    cdef image.Configuration configuration
    cdef image.Memory memory
    cdef uint64_t *seen         # inputs as of the last record, then what that tick gave
    cdef uint8_t *ring
    cdef size_t scalars         # words in front of the inputs' arrays
    cdef size_t inputs          # words of the inputs in all
    cdef size_t words           # and with what a tick gives
    cdef int64_t largest        # bytes of the largest record
    cdef int64_t capacity
    cdef int64_t head           # bytes written, gaps at the ring's end included
    cdef int64_t published      # head as the reader may see it
    cdef int64_t tail           # bytes read
    cdef int64_t lost_ticks
    cdef int whole_flag         # a whole record is wanted
    cdef int begun
    cdef int broken             # ticks were lost: only a whole record may follow

    cdef uint8_t *room(self) noexcept nogil
    cdef void commit(self, int64_t length) noexcept nogil
    cdef void frame(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil
    cdef void whole(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil
    cdef void after(self, const image.Inputs *inputs, int64_t now_ns) noexcept nogil

cdef class Player:
    cdef image.Configuration configuration
    cdef image.InputWall wall
    cdef image.Memory memory
    cdef uint64_t *given        # what the recorded tick gave
    cdef size_t scalars
    cdef size_t inputs
    cdef size_t results

    cdef restore(self, const uint8_t[::1] record)
    cdef apply(self, const uint8_t[::1] record)
