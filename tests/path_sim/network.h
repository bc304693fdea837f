/// The link between both ends, one direction of it: delay, loss, doubles, disorder, flipped bits
/// and outages, until it is told to be good.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "base/random.h"
#include "tests/path_sim/end.h"

namespace holdfast::path_sim {

/// Microseconds of virtual time.
using Micros = std::int64_t;
inline constexpr Micros kNever = INT64_MAX;

struct Manners {
    Micros delay = 100;
    Micros jitter = 0;
    std::uint64_t loss_one_in = 0;  ///< 0: never.
    std::uint64_t twice_one_in = 0;
    std::uint64_t corrupt_one_in = 0;
    std::uint64_t outage_one_in = 0;  ///< For each frame: the beginning of one.
    Micros outage = 0;
};

class Wire {
public:
    Wire(const Manners& manners, SplitMix64& random) : manners_(manners), random_(random) {}

    void carry(Micros now, Frame frame) {
        ++carried_;
        if (is_bad_) {
            if (strikes(manners_.outage_one_in))
                out_until_ = now + static_cast<Micros>(random_.below(
                                       static_cast<std::uint64_t>(manners_.outage) + 1));
            if (now < out_until_ || strikes(manners_.loss_one_in)) return;
            if (strikes(manners_.corrupt_one_in)) {
                constexpr std::size_t kHead = 14;  // The card judges what is in front of it.
                frame.at(kHead + random_.below(frame.size() - kHead)) ^=
                    static_cast<std::byte>(1U << random_.below(8));
            }
            if (strikes(manners_.twice_one_in)) frames_.emplace(arrival(now), frame);
        }
        frames_.emplace(arrival(now), std::move(frame));
    }
    [[nodiscard]] std::optional<Frame> arrive(Micros now) {
        if (next() > now) return {};
        Frame frame = std::move(frames_.begin()->second);
        frames_.erase(frames_.begin());
        return frame;
    }
    [[nodiscard]] Micros next() const { return frames_.empty() ? kNever : frames_.begin()->first; }
    void become_good() { is_bad_ = false; }
    [[nodiscard]] std::uint64_t carried() const { return carried_; }

private:
    [[nodiscard]] bool strikes(std::uint64_t one_in) {
        return one_in != 0 && random_.one_in(one_in);
    }
    [[nodiscard]] Micros arrival(Micros now) {
        const auto jitter = static_cast<std::uint64_t>(is_bad_ ? manners_.jitter : 0);
        return now + manners_.delay + static_cast<Micros>(random_.below(jitter + 1));
    }
    Manners manners_;
    SplitMix64& random_;
    std::multimap<Micros, Frame> frames_;
    bool is_bad_ = true;
    Micros out_until_ = 0;
    std::uint64_t carried_ = 0;
};

}  // namespace holdfast::path_sim
