/// A stream with everything around it that a test needs: memory, receive frames with an account of
/// where each one is, a sender whose bytes are a pattern, and a reader that checks one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "netpath/tcp/stream.h"
#include "reserve/plan.h"
#include "reserve/region.h"
#include "tests/netpath/tcp/packet.h"

namespace holdfast::tcp_test {

using netpath::tcp::FrameFate;
using netpath::tcp::Stream;

/// The byte at `place` of a stream; the two directions differ.
[[nodiscard]] constexpr std::uint8_t pattern(std::uint64_t place, bool is_ours) {
    const std::uint64_t mixed = (place + (is_ours ? 1 : 77)) * 0x9e37'79b9'7f4a'7c15ULL;
    return static_cast<std::uint8_t>(mixed >> 32);
}

struct EndpointConfig {
    netpath::tcp::Limits limits{.records = 64, .sent = 1024, .rx_frames = 64};
    netpath::tcp::Options options{};
    Ends ends{};
    std::size_t frame_bytes = 2048;
    /// Not 0: packets come and go in pieces of so many bytes, each in a frame of its own.
    std::size_t piece_bytes = 0;
};

class Endpoint {
public:
    explicit Endpoint(const EndpointConfig& config);
    Endpoint(const Endpoint&) = delete;
    Endpoint& operator=(const Endpoint&) = delete;
    ~Endpoint();

    [[nodiscard]] Stream& stream() { return *stream_; }
    void connect(Instant now, std::uint32_t isn, std::uint32_t timestamp_offset);
    /// Gives the packet to the stream in receive frames, if there are free ones; else it is lost,
    /// as it would be in a NIC.
    void input(Instant now, const Bytes& frame);
    /// The next frame to send; empty when there is none.
    [[nodiscard]] Bytes output(Instant now, bool may_send_data = true);
    /// Lends the next `bytes` of the pattern. False: refused.
    [[nodiscard]] bool write(std::size_t bytes);
    /// Takes up to `bytes`; what it gives is how many. A byte that is not the pattern's is a
    /// complaint.
    std::size_t read(Instant now, std::size_t bytes);
    /// Takes back frames and pieces; checks that every frame is somewhere, once.
    void settle();
    [[nodiscard]] std::uint64_t written_bytes() const { return written_; }
    [[nodiscard]] std::uint64_t returned_bytes() const { return returned_; }
    [[nodiscard]] std::uint64_t read_bytes() const { return read_; }
    [[nodiscard]] std::size_t free_frames() const { return free_frames_.size(); }
    /// Empty while nothing is wrong.
    [[nodiscard]] const std::string& complaint() const { return complaint_; }

private:
    void complain(const std::string& what) {
        if (complaint_.empty()) complaint_ = what;
    }

    [[nodiscard]] std::span<std::byte> memory_of(std::uint32_t id) {
        return std::span{frames_}.subspan(id * config_.frame_bytes, config_.frame_bytes);
    }
    [[nodiscard]] Bytes output_in_pieces(Instant now, bool may_send_data);

    EndpointConfig config_;
    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    Stream* stream_ = nullptr;
    std::vector<std::byte> frames_;
    std::vector<std::uint32_t> free_frames_;
    std::vector<bool> is_free_;
    std::vector<std::unique_ptr<std::vector<std::byte>>> lent_;
    std::size_t lent_front_ = 0;
    std::uint64_t written_ = 0;
    std::uint64_t returned_ = 0;
    std::uint64_t read_ = 0;
    std::string complaint_;
};

}  // namespace holdfast::tcp_test
