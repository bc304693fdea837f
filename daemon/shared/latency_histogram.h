/// Latencies in powers of two: small, fixed, and mergeable by adding. Percentiles read from it are
/// upper bounds, at most twice the true value.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/time.h"

namespace holdfast::daemon {

/// Bucket i counts latencies of 2^(i-1) up to 2^i - 1 nanoseconds; bucket 0 counts zero. The last
/// bucket takes everything above, which is nine minutes and more.
struct LatencyHistogram {
    static constexpr std::size_t kBuckets = 40;

    std::array<std::uint64_t, kBuckets> counts{};
    std::uint64_t total = 0;
    std::uint64_t sum_ns = 0;
    std::uint64_t max_ns = 0;

    /// A negative latency counts as zero.
    constexpr void add(Duration latency) noexcept {
        const auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(latency.ns(), 0));
        const auto bucket =
            std::min<std::size_t>(static_cast<std::size_t>(std::bit_width(ns)), kBuckets - 1);
        ++counts[bucket];
        ++total;
        sum_ns += ns;
        max_ns = std::max(max_ns, ns);
    }

    /// The largest latency, in ns, that bucket `i` holds; the last one has no bound but max_ns.
    [[nodiscard]] static constexpr std::uint64_t bucket_limit_ns(std::size_t i) noexcept {
        return (std::uint64_t{1} << i) - 1;
    }

    /// An upper bound for the latency that `permille` of 1000 requests did not exceed; 0 when
    /// nothing was counted.
    [[nodiscard]] constexpr std::uint64_t percentile_ns(std::uint32_t permille) const noexcept {
        if (total == 0) return 0;
        const std::uint64_t wanted = std::max<std::uint64_t>((total * permille + 999) / 1000, 1);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < kBuckets; ++i) {
            seen += counts[i];
            if (seen >= wanted) return std::min(bucket_limit_ns(i), max_ns);
        }
        return max_ns;
    }
};

}  // namespace holdfast::daemon
