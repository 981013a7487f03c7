"""SrtTransport: see srttransport.pyx."""
from pushcast.transport cimport Transport


cdef class SrtTransport(Transport):
    pass
