#include "reserve/sandbox.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>
#include <optional>

#include "base/assert.h"
#include "base/fixed_vector.h"
#include "base/unique_fd.h"
#include "reserve/number_text.h"

namespace holdfast::reserve {

namespace {

using Filter = std::unique_ptr<void, decltype(&seccomp_release)>;

// libseccomp answers with negative errno values.
std::unexpected<Errno> refusal(int answer) noexcept {
    HF_ASSERT(answer < 0);
    return std::unexpected(Errno{-answer});
}

constexpr scmp_arg_cmp is(unsigned argument, std::uint64_t value) noexcept {
    return {.arg = argument, .op = SCMP_CMP_EQ, .datum_a = value, .datum_b = 0};
}

/// Of the bits of `mask` exactly those of `value` are set.
constexpr scmp_arg_cmp has(unsigned argument, std::uint64_t mask, std::uint64_t value) noexcept {
    return {.arg = argument, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value};
}

/// What an argument must be; empty: anything.
std::optional<scmp_arg_cmp> wanted_argument(const AllowedCall& call, int status_fd) noexcept {
    switch (call.limit) {
    case CallLimit::None: return {};
    case CallLimit::OwnProcess: return is(0, static_cast<scmp_datum_t>(::getpid()));
    case CallLimit::StandardError: return is(0, STDERR_FILENO);
    case CallLimit::StatusFile: return is(0, static_cast<scmp_datum_t>(status_fd));
    case CallLimit::FirstIs: return is(0, call.value);
    case CallLimit::SecondIs: return is(1, call.value);
    case CallLimit::ThirdIs: return is(2, call.value);
    case CallLimit::FirstHas: return has(0, call.value, call.value);
    case CallLimit::ThirdLacks: return has(2, call.value, 0);
    case CallLimit::Missing: return {};
    }
    return {};
}

int add(scmp_filter_ctx filter, const AllowedCall& call, int status_fd) noexcept {
    const auto wanted = wanted_argument(call, status_fd);
    const std::uint32_t action =
        call.limit == CallLimit::Missing ? SCMP_ACT_ERRNO(ENOSYS) : SCMP_ACT_ALLOW;
    if (!wanted) return seccomp_rule_add_array(filter, action, call.number, 0, nullptr);
    return seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, call.number, 1, &*wanted);
}

using Program = FixedVector<sock_filter, 512>;

OrErrno<Program> read_program(int fd) noexcept {
    Program program;
    sock_filter one{};
    if (::lseek(fd, 0, SEEK_SET) != 0) return std::unexpected(Errno::last());
    for (;;) {
        const ssize_t got = ::read(fd, &one, sizeof one);
        if (got == 0) return program;
        if (got != sizeof one) return std::unexpected(Errno{EIO});
        if (!program.try_push(one)) return std::unexpected(Errno{E2BIG});
    }
}

// Uses the heap, and has given everything back when it returns: libseccomp's own way to load frees
// only afterwards, which is a call of the heap inside the sandbox.
OrErrno<Program> build_program(AllowedCalls calls, int status_fd) noexcept {
    const Filter filter{seccomp_init(SCMP_ACT_KILL_PROCESS), &seccomp_release};
    if (!filter) return std::unexpected(Errno{ENOMEM});
    for (const AllowedCall& call : calls) {
        if (const int answer = add(filter.get(), call, status_fd); answer < 0)
            return refusal(answer);
    }
    const UniqueFd file{::memfd_create("holdfast-filter", MFD_CLOEXEC)};
    if (!file) return std::unexpected(Errno::last());
    if (const int answer = seccomp_export_bpf(filter.get(), file.get()); answer < 0) {
        return refusal(answer);
    }
    return read_program(file.get());
}

OrErrno<void> load(Program& program) noexcept {
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return std::unexpected(Errno::last());
    const sock_fprog all{.len = static_cast<unsigned short>(program.size()),
                         .filter = program.span().data()};
    const long answer =
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &all);
    if (answer < 0) return std::unexpected(Errno::last());
    // Positive: the id of a thread that has another filter already.
    if (answer > 0) return std::unexpected(Errno{EBUSY});
    return {};
}

// The number behind "Seccomp:" in /proc/self/status; 2 means a filter. Negative when unknown.
int seccomp_mode(int status_fd) noexcept {
    std::array<char, 4096> cells{};
    const ssize_t got = ::pread(status_fd, cells.data(), cells.size(), 0);
    if (got <= 0) return -1;
    const std::string_view text{cells.data(), static_cast<std::size_t>(got)};
    constexpr std::string_view kKey = "\nSeccomp:";
    const std::size_t at = text.find(kKey);
    if (at == std::string_view::npos) return -1;
    std::string_view rest = without_leading_blanks(text.substr(at + kKey.size()));
    return try_take_number<int>(rest).value_or(-1);
}

}  // namespace

OrErrno<Sandbox> Sandbox::build(AllowedCalls calls) noexcept {
#if defined(HF_SANITIZED)
    static_cast<void>(calls);
    return std::unexpected(Errno{ENOTSUP});
#endif
    Sandbox made;
    made.status_ = UniqueFd{::open("/proc/self/status", O_RDONLY | O_CLOEXEC)};
    if (!made.status_) return std::unexpected(Errno::last());
    const auto program = build_program(calls, made.status_.get());
    if (!program) return std::unexpected(program.error());
    made.program_ = *program;
    return made;
}

OrErrno<Protection> Sandbox::enter() noexcept {
    HF_ASSERT(status_ && !program_.empty());
    if (const auto loaded = load(program_); !loaded) return std::unexpected(loaded.error());
    const int mode = seccomp_mode(status_.release());
    return protection("system call filter", "Seccomp: 2", mode == 2 ? "Seccomp: 2" : "not on",
                      mode == 2, "the kernel needs CONFIG_SECCOMP_FILTER");
}

OrErrno<Protection> enter_sandbox(AllowedCalls calls) noexcept {
    auto sandbox = Sandbox::build(calls);
    if (!sandbox) return std::unexpected(sandbox.error());
    return sandbox->enter();
}

Protection sandbox_layer(AllowedCalls calls) noexcept {
    constexpr std::string_view kAdvice = "the kernel needs CONFIG_SECCOMP_FILTER";
    const auto entered = enter_sandbox(calls);
    return layer("system call filter", "Seccomp: 2",
                 entered ? entered->found.view() : entered.error().text(),
                 entered && entered->holds, kAdvice);
}

}  // namespace holdfast::reserve
