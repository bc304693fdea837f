/// Asserts that stay on in every build. They guard against our own bugs only: bytes from a peer, a
/// descriptor, a configuration or a control message never reach one (design, invariant 10).
#pragma once

namespace holdfast {

/// Writes one line to standard error with write(2), without allocating, and aborts.
/// Callable from any thread and in any memory state.
[[noreturn]] void assert_failed(const char* expression, const char* file, int line) noexcept;

}  // namespace holdfast

#define HF_ASSERT(condition)                                           \
    do {                                                               \
        if (!(condition)) [[unlikely]]                                 \
            ::holdfast::assert_failed(#condition, __FILE__, __LINE__); \
    } while (false)

/// For checks that cost more than the code they guard: on in tests, simulation and fuzzing.
#if defined(HF_SLOW_ASSERTS)
#define HF_ASSERT_SLOW(condition) HF_ASSERT(condition)
#else
#define HF_ASSERT_SLOW(condition) \
    do {                          \
    } while (false)
#endif
