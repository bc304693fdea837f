#include "daemon/io/reserved_path.h"

#include <gtest/gtest.h>

namespace holdfast::daemon {
namespace {

// Goal: a packet of any MTU has frames enough, the last one is not in vain, and the frames hold the
// window that was asked for, also when the queue takes no packet of several frames.
TEST(ShapeFor, FramesHoldPacketsAndWindow) {
    const initiator::EngineLimits limits;
    for (const std::uint32_t mtu : {1280U, 1500U, 1774U, 1775U, 3822U, 3823U, 9000U, 65535U}) {
        SCOPED_TRACE(mtu);
        for (const std::uint32_t window : {1U << 20, 8U << 20}) {
            const auto shape = shape_for(limits, {.receive_bytes = window}, mtu);
            EXPECT_GE(shape.mtu_bytes_max(shape.packet_pieces), mtu);
            if (shape.packet_pieces > 1) {
                EXPECT_LT(shape.mtu_bytes_max(shape.packet_pieces - 1), mtu);
            }
            EXPECT_EQ(shape.frame_bytes, mtu <= 1774 ? 2048U : 4096U);
            const std::uint64_t frames = shape.tcp.rx_frames;
            const std::uint64_t segment = mtu - 52;
            EXPECT_GE(frames * std::max<std::uint64_t>(segment / shape.packet_pieces, 1228),
                      window);
            EXPECT_GE(frames * std::min<std::uint64_t>(segment, 3770), window * 9 / 10);
        }
    }
    EXPECT_EQ(shape_for(limits, {}, 1500).packet_pieces, 1U);
    EXPECT_EQ(shape_for(limits, {}, 9000).packet_pieces, 3U);
}

}  // namespace
}  // namespace holdfast::daemon
