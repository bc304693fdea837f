/// One end of a simulated TCP connection: a stream with its memory, its receive frames and an
/// account of them. Frames go in and out as the bytes of Ethernet.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/time.h"
#include "netpath/tcp/stream.h"
#include "reserve/plan.h"
#include "reserve/region.h"

namespace holdfast::path_sim {

using Frame = std::vector<std::byte>;

class End {
public:
    static constexpr std::size_t kFrameBytes = 2048;
    /// Besides those that the stream may hold: what a NIC would be filling.
    static constexpr std::uint32_t kSpareFrames = 8;

    End(const netpath::tcp::Limits& limits, const netpath::tcp::Options& options)
        : limits_(limits),
          options_(options),
          frames_((limits.rx_frames + kSpareFrames) * kFrameBytes),
          is_free_(limits.rx_frames + kSpareFrames, true) {
        reserve::MemoryPlan plan;
        netpath::tcp::Stream::add_to_plan(plan, limits);
        memory_.resize(plan.total().raw() + reserve::kCarveUnitBytes);
        region_.emplace(std::span{memory_});
        stream_.emplace(limits, *region_, options);
        for (std::uint32_t i = 0; i < is_free_.size(); ++i) free_.push_back(i);
    }

    [[nodiscard]] netpath::tcp::Stream& stream() { return *stream_; }

    /// True: it was of this connection. Without a free frame it is lost, as in a NIC.
    bool input(Instant now, const Frame& frame) {
        if (free_.empty() || frame.size() > kFrameBytes) return true;
        const std::uint32_t id = free_.back();
        const auto memory = std::span{frames_}.subspan(id * kFrameBytes, kFrameBytes);
        std::memcpy(memory.data(), frame.data(), frame.size());
        const auto fate = stream_->input(now, {.id = id, .memory = memory, .bytes = frame.size()});
        if (fate == netpath::tcp::FrameFate::Kept) {
            free_.pop_back();
            is_free_.at(id) = false;
        } else {
            std::memset(memory.data(), 0xdd, memory.size());  // Whoever reads it now is wrong.
        }
        return fate != netpath::tcp::FrameFate::NotOurs;
    }
    [[nodiscard]] std::optional<Frame> output(Instant now, bool may_send_data) {
        Frame room(netpath::tcp::Stream::frame_bytes_max(options_));
        room.resize(stream_->output(now, room, may_send_data));
        if (room.empty()) return {};
        return room;
    }
    /// False: a frame came back that was not out.
    [[nodiscard]] bool take_frames_back() {
        while (const auto id = stream_->poll_returned_frame()) {
            if (is_free_.at(*id)) return false;
            is_free_.at(*id) = true;
            free_.push_back(*id);
        }
        return true;
    }
    /// Every frame is free or held by the stream.
    [[nodiscard]] bool is_account_right() const {
        return free_.size() + stream_->connection().held_frames() == is_free_.size();
    }

private:
    netpath::tcp::Limits limits_;
    netpath::tcp::Options options_;
    std::vector<std::byte> frames_;
    std::vector<bool> is_free_;
    std::vector<std::uint32_t> free_;
    std::vector<std::byte> memory_;
    std::optional<reserve::Region> region_;
    std::optional<netpath::tcp::Stream> stream_;
};

}  // namespace holdfast::path_sim
