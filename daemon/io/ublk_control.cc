#include "daemon/io/ublk_control.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <span>

#include "base/assert.h"
#include "netpath/io/ring_limits.h"

namespace holdfast::daemon {

namespace {

constexpr const char* kDevicePath = "/dev/ublk-control";
constexpr unsigned kEntries = 4;

/// Best effort: whether it worked shows when the device is opened again.
void load_module() noexcept {
    std::array<char, 16> program{"/sbin/modprobe"};
    std::array<char, 16> quiet{"-q"};
    std::array<char, 16> module{"ublk_drv"};
    std::array<char*, 4> arguments{program.data(), quiet.data(), module.data(), nullptr};
    std::array<char*, 1> environment{nullptr};
    pid_t child = 0;
    if (::posix_spawn(&child, program.data(), nullptr, nullptr, arguments.data(),
                      environment.data()) != 0)
        return;
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
}

}  // namespace

UblkControl::~UblkControl() {
    if (opened_) io_uring_queue_exit(&ring_);
}

OrErrno<void> UblkControl::open() noexcept {
    HF_ASSERT(!opened_);
    device_ = UniqueFd{::open(kDevicePath, O_RDWR | O_CLOEXEC)};
    if (!device_ && errno == ENOENT) {
        load_module();
        device_ = UniqueFd{::open(kDevicePath, O_RDWR | O_CLOEXEC)};
    }
    if (!device_) return std::unexpected(Errno::last());
    const int result =
        io_uring_queue_init(kEntries, &ring_, IORING_SETUP_SQE128 | IORING_SETUP_R_DISABLED);
    if (result < 0) return std::unexpected(Errno{-result});
    opened_ = true;
    return set_up_ring();
}

/// Before it is enabled, because afterwards it takes nothing but commands.
OrErrno<void> UblkControl::set_up_ring() noexcept {
    finished_ = UniqueFd{::eventfd(0, EFD_CLOEXEC)};
    if (!finished_) return std::unexpected(Errno::last());
    const int registered = io_uring_register_eventfd(&ring_, finished_.get());
    if (registered < 0) return std::unexpected(Errno{-registered});
    const int device = device_.get();
    const int placed = io_uring_register_files(&ring_, &device, 1);
    if (placed < 0) return std::unexpected(Errno{-placed});
    constexpr std::array<std::uint8_t, 1> kOperations{IORING_OP_URING_CMD};
    limited_ = netpath::limit_ring(ring_, {.operations = kOperations, .registrations = {}}) == 0;
    const int enabled = io_uring_enable_rings(&ring_);
    if (enabled < 0) return std::unexpected(Errno{-enabled});
    limited_ = limited_ && netpath::refuses_the_rest(ring_, netpath::RingFiles::Registered);
    return {};
}

OrErrno<void> UblkControl::begin(std::uint32_t operation,
                                 const ublk::ControlCommand& command) noexcept {
    HF_ASSERT(opened_);
    constexpr std::size_t kEntryBytes = 128;
    constexpr std::size_t kPayloadAt = 48;  // Where addr3 stands in an ordinary entry.
    io_uring_sqe* const entry = io_uring_get_sqe(&ring_);
    HF_ASSERT(entry != nullptr);
    const std::span<std::byte> bytes{static_cast<std::byte*>(static_cast<void*>(entry)),
                                     kEntryBytes};
    std::memset(bytes.data(), 0, bytes.size());
    entry->opcode = IORING_OP_URING_CMD;
    entry->fd = 0;  // The place of the device in the table.
    entry->flags = IOSQE_FIXED_FILE;
    entry->cmd_op = operation;
    std::memcpy(bytes.subspan(kPayloadAt).data(), &command, sizeof(command));
    const int submitted = io_uring_submit(&ring_);
    if (submitted < 0) return std::unexpected(Errno{-submitted});
    return {};
}

std::optional<int> UblkControl::poll_result() noexcept {
    HF_ASSERT(opened_);
    io_uring_cqe* entry = nullptr;
    if (io_uring_peek_cqe(&ring_, &entry) != 0) return {};
    const int result = entry->res;
    io_uring_cqe_seen(&ring_, entry);
    return result;
}

OrErrno<void> UblkControl::run(std::uint32_t operation,
                               const ublk::ControlCommand& command) noexcept {
    if (auto begun = begin(operation, command); !begun) return begun;
    io_uring_cqe* entry = nullptr;
    int waited = 0;
    do {
        waited = io_uring_wait_cqe(&ring_, &entry);
    } while (waited == -EINTR);
    if (waited < 0) return std::unexpected(Errno{-waited});
    const auto result = poll_result();
    HF_ASSERT(result.has_value());
    if (*result < 0) return std::unexpected(Errno{-*result});
    return {};
}

}  // namespace holdfast::daemon
