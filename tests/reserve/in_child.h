/// Runs a test's body in a forked child, so that limits, locks and filters end with it.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

namespace holdfast::reserve {

/// How the child ended, as from waitpid. The child exits with what `body` returns; it must not use
/// EXPECT, because nobody would see it.
template <class Body>
int status_of_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = -1;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
}

/// The child's exit code, or -1 when it was killed.
template <class Body>
int exit_code_of_child(Body body) {
    const int status = status_of_child(body);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/// The signal that killed the child, or 0.
template <class Body>
int signal_of_child(Body body) {
    const int status = status_of_child(body);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}

#if defined(HF_SANITIZED)
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace holdfast::reserve
