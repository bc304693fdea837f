/// A unit in memory. Completes requests out of order, and on request badly.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "base/random.h"
#include "daemon/client/unit_port.h"

namespace holdfast::daemon {

struct MemoryUnitOptions {
    std::uint32_t block_bytes = 512;
    std::uint64_t blocks = 4096;
    std::uint16_t depth = 8;
    std::uint32_t request_bytes_max = 8192;
    std::uint64_t seed = 1;
};

class MemoryUnit final : public UnitPort {
public:
    explicit MemoryUnit(const MemoryUnitOptions& options = {})
        : options_(options),
          random_(options.seed),
          disk(options.blocks * options.block_bytes),
          buffers_(options.depth, std::vector<std::byte>(options.request_bytes_max)),
          is_in_flight_(options.depth) {
        facts_.block_bytes = options.block_bytes;
        facts_.blocks = options.blocks;
    }

    [[nodiscard]] const initiator::DeviceFacts& facts() const override { return facts_; }
    [[nodiscard]] std::uint16_t depth() const override { return options_.depth; }
    [[nodiscard]] std::uint32_t request_bytes_max() const override {
        return options_.request_bytes_max;
    }
    [[nodiscard]] std::span<std::byte> buffer(std::uint16_t tag) override {
        return buffers_.at(tag);
    }
    [[nodiscard]] initiator::Submitted submit(const initiator::Request& request) override {
        if (on_submit) on_submit();
        if (stops_after && requests++ >= *stops_after) return initiator::Submitted::Stopped;
        if (is_in_flight_.at(request.tag)) return initiator::Submitted::Full;
        if (request.lba.raw() + request.blocks.raw() > facts_.blocks)
            return initiator::Submitted::OutOfRange;
        is_in_flight_[request.tag] = true;
        in_flight_.push_back(request);
        in_flight_max = std::max(in_flight_max, in_flight_.size());
        return initiator::Submitted::Accepted;
    }
    [[nodiscard]] std::optional<initiator::Completion> poll_completion() override {
        if (!may_complete_ || in_flight_.empty()) return {};
        may_complete_ = false;
        const std::size_t chosen = random_.below(in_flight_.size());
        const initiator::Request request = in_flight_[chosen];
        in_flight_.erase(in_flight_.begin() + static_cast<std::ptrdiff_t>(chosen));
        is_in_flight_[request.tag] = false;
        const bool fails = fails_at && request.lba.raw() <= *fails_at &&
                           *fails_at < request.lba.raw() + request.blocks.raw();
        if (fails)
            return initiator::Completion{.tag = request.tag,
                                         .outcome = initiator::Outcome::MediumError};
        execute(request);
        return initiator::Completion{.tag = request.tag};
    }
    [[nodiscard]] OrFailure<void> run_once(Duration) override {
        may_complete_ = true;
        if (loses_session) return fail(ExitCode::Unreachable, "the session is away");
        return {};
    }

    std::optional<std::uint64_t> fails_at;     ///< LBA that cannot be read or written.
    std::optional<std::uint64_t> stops_after;  ///< Requests.
    std::function<void()> on_submit;           ///< Called for each request.
    bool loses_session = false;
    bool drops_writes = false;  ///< Acknowledges them all the same.
    std::uint64_t requests = 0;
    std::uint64_t flushes = 0;
    std::size_t in_flight_max = 0;

private:
    void execute(const initiator::Request& request) {
        const std::size_t at = request.lba.raw() * options_.block_bytes;
        if (request.kind == initiator::RequestKind::Flush) ++flushes;
        if (request.data.empty()) return;
        if (request.kind == initiator::RequestKind::Read)
            std::memcpy(request.data.data(), disk.data() + at, request.data.size());
        if (request.kind == initiator::RequestKind::Write && !drops_writes)
            std::memcpy(disk.data() + at, request.data.data(), request.data.size());
    }

    MemoryUnitOptions options_;
    SplitMix64 random_;

public:
    std::vector<std::byte> disk;

private:
    std::vector<std::vector<std::byte>> buffers_;
    std::vector<bool> is_in_flight_;
    std::vector<initiator::Request> in_flight_;
    initiator::DeviceFacts facts_;
    bool may_complete_ = false;
};

}  // namespace holdfast::daemon
