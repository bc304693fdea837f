/// One NBD client, as a pure state machine: bytes in, work out, bytes out. Newstyle fixed
/// negotiation, simple replies.
///
/// The client may send anything: what breaks the protocol ends in wants_close(), what is merely
/// wrong in an error reply. No length from the wire sizes anything.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "base/fixed_vector.h"
#include "daemon/io/nbd_table.h"
#include "daemon/io/nbd_wire.h"

namespace holdfast::daemon {

/// See the file comment. Thread: the loop's.
class NbdSession {
public:
    static constexpr std::size_t kStageBytes = 16 * 1024;
    static constexpr std::size_t kRxSpansMax = 2;
    static constexpr std::size_t kTxSpansMax = 64;
    /// Name and list of wishes of one option; longer ones are refused.
    static constexpr std::size_t kOptionBytesMax = 5000;

    NbdSession() noexcept = default;
    NbdSession(const NbdSession&) = delete;
    NbdSession& operator=(const NbdSession&) = delete;

    /// A client has come. `unit` and `table` outlive the session; `client` marks its tasks.
    void start(const NbdUnit& unit, NbdTable& table, std::uint8_t client) noexcept;
    /// The client has gone: no more bytes either way. Only when no receive and no send is
    /// outstanding, because buffers go back. Work under way still ends in on_work_done().
    void abandon() noexcept;

    /// Where the next bytes go; empty when the client must wait. The spans stay lent until
    /// rx_filled(); other calls may come between.
    [[nodiscard]] std::span<std::span<std::byte>> rx_spaces(
        std::span<std::span<std::byte>> out) noexcept;
    void rx_filled(std::size_t bytes) noexcept;
    /// Tries again what waited for tags.
    void resume() noexcept { process(); }

    [[nodiscard]] std::span<std::span<const std::byte>> tx_spans(
        std::span<std::span<const std::byte>> out) noexcept;
    void tx_sent(std::size_t bytes) noexcept;

    /// A piece of this client's work is done; `error` as on the wire.
    void on_work_done(std::uint16_t tag, std::uint32_t error) noexcept;

    /// The connection shall be closed now.
    [[nodiscard]] bool wants_close() const noexcept;
    /// True when it broke the protocol.
    [[nodiscard]] bool was_broken() const noexcept { return broken_; }
    /// No task belongs to this client any more.
    [[nodiscard]] bool is_over() const noexcept { return tags_held_ == 0; }
    /// A request waits for tags.
    [[nodiscard]] bool is_stalled() const noexcept { return stalled_; }

private:
    enum class State : std::uint8_t {
        ClientFlags,  ///< Greeting sent.
        OptionHeader,
        OptionData,
        Request,    ///< Transmission phase, between requests.
        Payload,    ///< A write's data.
        Finishing,  ///< Disconnect or abort asked: answers go out, nothing comes in.
        Closed,
    };
    struct RequestHeader {
        std::uint16_t flags = 0;
        nbd::Command command = nbd::Command::Read;
        std::array<std::byte, 8> cookie{};
        std::uint64_t offset = 0;
        std::uint32_t length = 0;
    };

    // Receiving.
    [[nodiscard]] std::span<std::byte> stage_used() noexcept;
    [[nodiscard]] std::optional<std::span<const std::byte>> take(std::size_t bytes) noexcept;
    void process() noexcept;
    [[nodiscard]] bool step() noexcept;
    [[nodiscard]] bool skip() noexcept;
    void violate() noexcept;

    // Negotiation.
    [[nodiscard]] bool on_client_flags() noexcept;
    [[nodiscard]] bool on_option_header() noexcept;
    [[nodiscard]] bool on_option_data() noexcept;
    void answer_option(std::span<const std::byte> data) noexcept;
    void answer_export_name(std::span<const std::byte> data) noexcept;
    void answer_list(std::span<const std::byte> data) noexcept;
    void answer_info(std::span<const std::byte> data) noexcept;
    void put_option_reply(nbd::OptionReply reply, std::span<const std::byte> data) noexcept;
    [[nodiscard]] bool is_our_name(std::span<const std::byte> name) const noexcept;
    [[nodiscard]] std::uint16_t transmission_flags() const noexcept;
    [[nodiscard]] std::uint32_t payload_max() const noexcept;

    // Transmission.
    [[nodiscard]] bool on_request() noexcept;
    [[nodiscard]] std::optional<RequestHeader> parse_request(
        std::span<const std::byte, nbd::kRequestBytes> bytes) noexcept;
    [[nodiscard]] std::uint32_t judge(const RequestHeader& header) const noexcept;
    void admit(const RequestHeader& header, std::uint16_t first) noexcept;
    void refuse(const RequestHeader& header, std::uint32_t error, std::uint16_t first) noexcept;
    [[nodiscard]] bool on_payload() noexcept;
    void advance_payload(std::size_t bytes) noexcept;
    void submit_chain(std::uint16_t first, initiator::RequestKind kind) noexcept;
    void submit_bulk(std::uint16_t first) noexcept;
    void finish(std::uint16_t first) noexcept;
    void queue_reply(std::uint16_t first) noexcept;
    [[nodiscard]] std::uint64_t reply_bytes(std::uint16_t first) noexcept;
    void release(std::uint16_t first) noexcept;

    const NbdUnit* unit_ = nullptr;
    NbdTable* table_ = nullptr;
    std::uint8_t client_ = 0;
    State state_ = State::Closed;
    bool broken_ = false;
    bool stalled_ = false;
    bool no_zeroes_ = false;
    bool gone_ = false;
    std::uint32_t option_ = 0;
    std::uint32_t option_bytes_ = 0;
    std::uint64_t skip_bytes_ = 0;  // To be thrown away before anything else is read.
    std::uint16_t payload_first_ = NbdTask::kNone;
    std::uint16_t payload_tag_ = NbdTask::kNone;
    std::size_t payload_filled_ = 0;  // Of the payload_tag_'s piece.
    std::size_t payload_lent_ = 0;  // Bytes of it that rx_spaces() gave out in front of the stage.
    std::uint16_t tags_held_ = 0;
    std::uint16_t reply_head_ = NbdTask::kNone;
    std::uint16_t reply_tail_ = NbdTask::kNone;
    std::uint64_t reply_sent_ = 0;       // Bytes of the head's reply that are out.
    FixedVector<std::byte, 1024> talk_;  // Negotiation answers that wait to be sent.
    std::size_t talk_sent_ = 0;
    std::array<std::byte, kStageBytes> stage_{};
    std::size_t stage_begin_ = 0;
    std::size_t stage_end_ = 0;
};

}  // namespace holdfast::daemon
