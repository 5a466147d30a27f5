from libc.stdint cimport int64_t
from rampd.ext cimport image
from rampd.ext.tape cimport Tape

cdef class Loop:
    cdef image.Configuration configuration
    cdef image.InputWall inputs
    cdef image.OutputWall outputs
    cdef image.Memory memory
    cdef int stop_flag
    cdef int wake_fd
    cdef Tape tape

    cdef void tick(self, int64_t due_ns, int64_t now_ns) noexcept nogil
