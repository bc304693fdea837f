/// Latencies with about 1.5 % resolution over the whole range of 64 bits: 64 linear steps in every
/// power of two. For measuring; the I/O processes use the small one in daemon/shared.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace holdfast::daemon {

/// See the file comment. Allocates once, when it is made.
class FineHistogram {
public:
    FineHistogram() : counts_(kBuckets) {}

    void add(std::uint64_t ns) {
        ++counts_[bucket_of(ns)];
        ++total_;
        sum_ns_ += ns;
        min_ns_ = std::min(min_ns_, ns);
        max_ns_ = std::max(max_ns_, ns);
    }
    [[nodiscard]] std::uint64_t total() const { return total_; }
    [[nodiscard]] std::uint64_t min_ns() const { return total_ == 0 ? 0 : min_ns_; }
    [[nodiscard]] std::uint64_t max_ns() const { return max_ns_; }
    [[nodiscard]] double mean_ns() const {
        return total_ == 0 ? 0.0 : static_cast<double>(sum_ns_) / static_cast<double>(total_);
    }
    /// The latency that `permille` of 1000 did not exceed, at most 1/64 too large; 0 when empty.
    [[nodiscard]] std::uint64_t percentile_ns(std::uint32_t permille) const {
        if (total_ == 0) return 0;
        const std::uint64_t wanted = std::max<std::uint64_t>((total_ * permille + 999) / 1000, 1);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < counts_.size(); ++i) {
            seen += counts_[i];
            if (seen >= wanted) return std::min(upper_of(i), max_ns_);
        }
        return max_ns_;
    }

    /// Values below kSteps have a bucket each; above, kSteps buckets per power of two.
    [[nodiscard]] static std::size_t bucket_of(std::uint64_t ns) {
        if (ns < kSteps) return static_cast<std::size_t>(ns);
        const auto octave = static_cast<std::size_t>(std::bit_width(ns)) - kStepBits - 1;
        return (octave + 1) * kSteps + static_cast<std::size_t>((ns >> octave) - kSteps);
    }
    /// The largest value of a bucket.
    [[nodiscard]] static std::uint64_t upper_of(std::size_t bucket) {
        if (bucket < kSteps) return bucket;
        const std::size_t octave = bucket / kSteps - 1;
        const std::uint64_t first = (std::uint64_t{bucket % kSteps} + kSteps) << octave;
        return first + ((std::uint64_t{1} << octave) - 1);
    }

private:
    static constexpr std::size_t kStepBits = 6;
    static constexpr std::size_t kSteps = 1U << kStepBits;
    static constexpr std::size_t kBuckets = (64 - kStepBits + 1) * kSteps;

    std::vector<std::uint64_t> counts_;
    std::uint64_t total_ = 0;
    std::uint64_t sum_ns_ = 0;
    std::uint64_t min_ns_ = ~std::uint64_t{0};
    std::uint64_t max_ns_ = 0;
};

}  // namespace holdfast::daemon
