#include "reserve/fuse.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <string_view>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "reserve/number_text.h"

namespace holdfast::reserve::fuse {

namespace {

// Plain data with constant initialisation: the heap comes here before main and from new threads,
// so nothing may need a constructor, a guard or a lazily allocated TLS block.
constinit thread_local State t_state = State::Init;
constinit thread_local std::uint64_t t_heap_calls = 0;

[[noreturn]] void blow(const char* call, const void* caller) noexcept {
    FixedString<160> line;
    std::array<char, 20> hex{};
    const auto done =
        std::to_chars(hex.begin(), hex.end(), std::bit_cast<std::uintptr_t>(caller), 16);
    const std::string_view address{hex.data(), static_cast<std::size_t>(done.ptr - hex.begin())};
    bool fits = line.try_append("holdfast: ") && line.try_append(call) &&
                line.try_append(" on an armed thread, called from 0x") &&
                line.try_append(address) && line.try_append(", thread ") &&
                line.try_append(NumberText{::gettid()}.view()) && line.try_append("\n");
    if (!fits) line.assign_cut("holdfast: the heap was called on an armed thread\n");
    // Nothing can be done when standard error refuses: the abort follows anyway.
    [[maybe_unused]] const ssize_t put =
        ::write(STDERR_FILENO, line.view().data(), line.view().size());
    std::abort();
}

}  // namespace

void arm_this_thread() noexcept {
    HF_ASSERT(t_state == State::Init);
    t_state = State::Armed;
}

void disarm_for_shutdown() noexcept {
    HF_ASSERT(t_state == State::Armed);
    t_state = State::Shutdown;
}

State state_of_this_thread() noexcept {
    return t_state;
}

std::uint64_t heap_calls_of_this_thread() noexcept {
    return t_heap_calls;
}

bool is_fitted() noexcept {
    HF_ASSERT(t_state != State::Armed);
    const std::uint64_t before = t_heap_calls;
    // Through volatile pointers: the compiler knows malloc, and would neither keep an idle pair nor
    // believe that it changes the counter.
    void* (*volatile const allocate)(std::size_t) = &std::malloc;
    void (*volatile const release)(void*) = &std::free;
    release(allocate(1));
    return t_heap_calls >= before + 2;
}

void on_heap_call(const char* call, const void* caller) noexcept {
    ++t_heap_calls;
    if (t_state == State::Armed) [[unlikely]]
        blow(call, caller);
}

}  // namespace holdfast::reserve::fuse
