// The pool of compute threads that OpenMP keeps for each thread that computes.
#include "shim_internal.h"

#if !defined(__APPLE__) // its archives are built without OpenMP
extern "C" int omp_pause_resource_all(int kind);
#endif

void lx_release_threads(void) noexcept {
#if !defined(__APPLE__)
    constexpr int soft = 1; // omp_pause_soft
    omp_pause_resource_all(soft);
#endif
}
