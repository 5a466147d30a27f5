from rampd.ext.image cimport Inputs, Limits, Outputs, Site, State, Watch

cdef size_t lay_limits(Limits *x, char *base) noexcept
cdef size_t lay_inputs(Inputs *x, char *base, const Site *site) noexcept
cdef size_t lay_outputs(Outputs *x, char *base, const Site *site) noexcept
cdef size_t lay_state(State *x, char *base, const Site *site) noexcept
cdef size_t lay_watch(Watch *x, char *base, const Site *site) noexcept
