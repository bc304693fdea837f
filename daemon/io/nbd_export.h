/// The unit as an NBD server on a Unix socket, for fio, nbdcopy, QEMU and whoever has no ublk.
///
/// Limits: kClientsMax clients at once; further ones wait in the listener's queue. They share the
/// engine's tags. Reachable by the socket's owner only (mode 0600).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/errno.h"
#include "base/fixed_vector.h"
#include "base/unique_fd.h"
#include "daemon/io/exporter.h"
#include "daemon/io/nbd_session.h"
#include "daemon/io/nbd_table.h"

namespace holdfast::daemon {

struct NbdOptions {
    std::string_view name;  ///< Of the export.
    std::string_view path;  ///< Of the socket; an old socket there is replaced.
    bool read_only = false;
    std::uint16_t depth = 32;
    std::uint32_t request_bytes_max = 128 * 1024;
};

/// Makes a listening Unix socket that only its owner can reach.
[[nodiscard]] OrErrno<UniqueFd> listen_for_nbd(std::string_view path) noexcept;

/// See the file comment.
class NbdExport final : public Exporter {
public:
    static constexpr std::uint8_t kClientsMax = 4;
    /// What DriverConfig needs on top.
    static constexpr std::uint32_t kOperations = 6 * kClientsMax + 4;
    static constexpr std::uint16_t kFiles = kClientsMax + 1;

    NbdExport(Driver& driver, RequestMeter& meter, const NbdOptions& options) noexcept;
    NbdExport(const NbdExport&) = delete;
    NbdExport& operator=(const NbdExport&) = delete;

    /// Takes a socket of listen_for_nbd().
    [[nodiscard]] OrErrno<void> begin(UniqueFd listener) noexcept;

    void on_completed(const netpath::Completed& completed, Instant now) noexcept override;
    void on_request_done(const initiator::Completion& completion, Instant now) noexcept override;
    void on_turn_end(Instant now) noexcept override;
    void on_resized() noexcept override { describe_unit(); }
    void stop(Instant now) noexcept override;
    [[nodiscard]] ExportPhase phase() const noexcept override { return phase_; }
    [[nodiscard]] int error() const noexcept override { return 0; }
    void describe(ExportState& state) const noexcept override;

    /// Clients connected now, and those that broke the protocol so far.
    [[nodiscard]] std::uint32_t clients() const noexcept;
    [[nodiscard]] std::uint64_t clients_broken() const noexcept { return clients_broken_; }

private:
    enum class Kind : std::uint8_t { Accept, Receive, Send, Close, Cancel };
    struct Client {
        enum class State : std::uint8_t { Free, Accepting, Open, Closing, Settling };
        NbdSession session;
        State state = State::Free;
        std::uint32_t serial = 0;  // Counts connections.
        bool receiving = false;
        bool sending = false;
        std::uint8_t chores = 0;  // Cancels and closes outstanding.
        std::array<iovec, NbdSession::kRxSpansMax> receive_pieces{};
        std::array<iovec, NbdSession::kTxSpansMax> send_pieces{};
        msghdr receive_message{};
        msghdr send_message{};
    };

    [[nodiscard]] netpath::FileSlot file_of(std::uint8_t index) const noexcept;
    [[nodiscard]] netpath::Token token(Kind kind, std::uint8_t index) const noexcept;
    void describe_unit() noexcept;
    void accept_next() noexcept;
    void on_accepted(std::uint8_t index, std::int32_t result) noexcept;
    void submit_work(Instant now) noexcept;
    void finish_work(std::uint16_t tag, std::uint32_t error) noexcept;
    void serve(std::uint8_t index) noexcept;
    void receive(std::uint8_t index) noexcept;
    void send(std::uint8_t index) noexcept;
    void begin_close(std::uint8_t index) noexcept;
    void advance_close(std::uint8_t index) noexcept;

    Driver& driver_;
    RequestMeter& meter_;
    NbdUnit unit_;
    NbdTable table_;
    bool read_only_;
    FixedString<107> path_;
    UniqueFd listener_;
    ExportPhase phase_ = ExportPhase::Making;
    std::uint64_t clients_broken_ = 0;
    std::array<Client, kClientsMax> clients_{};
};

}  // namespace holdfast::daemon
