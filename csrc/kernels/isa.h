// Copyright 2026 The optimum-dynexec authors. Licensed under the Apache License, Version 2.0.
#pragma once

// Internal. Builds one loop for several instruction sets and picks one at run time. Explicit dispatch rather than
// target_clones: it needs no ifunc (absent on musl, unreliable under sanitizers), avx2 may come with fma, and tests can
// call every variant.

namespace dynexec {

enum class Isa { kBaseline, kAvx2, kAvx512 };

// True if both this build and this CPU have the variant.
bool isa_supported(Isa isa);

// The widest supported variant.
Isa best_isa();

}  // namespace dynexec

// Bodies and their helpers must be inlined into the functions below, or they keep the baseline's instructions.
#define DYNEXEC_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__)
#define DYNEXEC_HAS_X86_VARIANTS 1
// Defines `result name(Isa isa, <params>)`, which runs `body<args>` compiled for `isa`.
#define DYNEXEC_MULTIVERSION(result, name, params, body, args)                                          \
    namespace {                                                                                         \
    result name##_baseline params { return body args; }                                                 \
    __attribute__((target("avx2,fma"))) result name##_avx2 params { return body args; }                 \
    __attribute__((target("avx512f,fma"))) result name##_avx512 params { return body args; }            \
    result(*name##_variant(Isa isa)) params {                                                           \
        return isa == Isa::kAvx512 ? name##_avx512 : isa == Isa::kAvx2 ? name##_avx2 : name##_baseline; \
    }                                                                                                   \
    }
#else
#define DYNEXEC_HAS_X86_VARIANTS 0
#define DYNEXEC_MULTIVERSION(result, name, params, body, args)      \
    namespace {                                                     \
    result name##_baseline params { return body args; }             \
    result(*name##_variant(Isa)) params { return name##_baseline; } \
    }
#endif
