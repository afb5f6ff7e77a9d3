// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#include "kernels/isa.h"

namespace dynexec {

bool isa_supported(Isa isa) {
#if DYNEXEC_HAS_X86_VARIANTS
    switch (isa) {
        case Isa::kAvx512:
            return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("fma") != 0;
        case Isa::kAvx2:
            return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0;
        case Isa::kBaseline:
            return true;
    }
    return false;
#else
    return isa == Isa::kBaseline;
#endif
}

Isa best_isa() {
    static const Isa best = isa_supported(Isa::kAvx512) ? Isa::kAvx512
                            : isa_supported(Isa::kAvx2) ? Isa::kAvx2
                                                        : Isa::kBaseline;
    return best;
}

}  // namespace dynexec
