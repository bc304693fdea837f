#include "daemon/shared/log_ring.h"

#include <gtest/gtest.h>

#include <memory>
#include <thread>

namespace holdfast::daemon {
namespace {

LogRecord numbered(std::uint64_t n) {
    return LogRecord::of(Instant::from_ns(static_cast<std::int64_t>(n)), LogLevel::Warning,
                         IoEvent::LoopLate, n, ~n);
}

// Goal: a record is read as it was written.
TEST(LogRing, RecordsComeOutAsTheyWentIn) {
    const auto ring = std::make_unique<LogRing>();
    LogProducer producer{*ring};
    LogConsumer consumer{*ring};
    EXPECT_FALSE(consumer.try_take());
    ASSERT_TRUE(producer.try_put(LogRecord::of(
        Instant::from_ns(9), LogLevel::Error,
        initiator::Notice{.kind = initiator::NoticeKind::NopTimeout, .a = 1, .b = 2})));
    const auto record = consumer.try_take();
    ASSERT_TRUE(record);
    EXPECT_EQ(record->at.ns(), 9);
    EXPECT_EQ(record->source, LogSource::Engine);
    EXPECT_EQ(record->code, static_cast<std::uint8_t>(initiator::NoticeKind::NopTimeout));
    EXPECT_EQ(record->level, LogLevel::Error);
    EXPECT_EQ(record->a, 1U);
    EXPECT_EQ(record->b, 2U);
    EXPECT_FALSE(consumer.try_take());
}

// Goal: a full ring drops the new record, counts it, and goes on as soon as there is room.
TEST(LogRing, FullRingDropsAndCounts) {
    const auto ring = std::make_unique<LogRing>();
    LogProducer producer{*ring};
    LogConsumer consumer{*ring};
    for (std::uint64_t i = 0; i < LogRing::kRecords; ++i)
        ASSERT_TRUE(producer.try_put(numbered(i)));
    EXPECT_FALSE(producer.try_put(numbered(1000)));
    EXPECT_FALSE(producer.try_put(numbered(1001)));
    EXPECT_EQ(consumer.dropped(), 2U);
    EXPECT_EQ(consumer.try_take()->a, 0U);
    EXPECT_TRUE(producer.try_put(numbered(2000)));
}

// Goal: a control process that starts anew loses no record and sees none twice.
TEST(LogRing, NewConsumerGoesOnWhereTheOldOneStopped) {
    const auto ring = std::make_unique<LogRing>();
    LogProducer producer{*ring};
    for (std::uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(producer.try_put(numbered(i)));
    EXPECT_EQ(LogConsumer{*ring}.try_take()->a, 0U);
    EXPECT_EQ(LogConsumer{*ring}.try_take()->a, 1U);
}

// Goal: a mad peer on either side costs records and nothing else.
TEST(LogRing, AbsurdPositionsOfThePeerAreSurvived) {
    const auto ring = std::make_unique<LogRing>();
    LogProducer producer{*ring};
    LogConsumer consumer{*ring};
    ring->taken.store(~0ULL / 2);
    EXPECT_FALSE(producer.try_put(numbered(1)));
    ring->taken.store(0);
    ring->written.store(~0ULL / 2);
    EXPECT_FALSE(consumer.try_take());
    EXPECT_FALSE(consumer.try_take());
}

// Goal: one producer and one consumer on two threads lose nothing but what is counted, in order.
TEST(LogRing, ConcurrentEndsKeepOrder) {
    constexpr std::uint64_t kCount = 20'000;
    const auto ring = std::make_unique<LogRing>();
    std::thread producing{[&] {
        LogProducer producer{*ring};
        for (std::uint64_t i = 1; i <= kCount; ++i)
            while (!producer.try_put(numbered(i))) std::this_thread::yield();
    }};
    LogConsumer consumer{*ring};
    std::uint64_t last = 0;
    while (last < kCount) {
        const auto record = consumer.try_take();
        if (!record) {
            std::this_thread::yield();
            continue;
        }
        ASSERT_EQ(record->a, last + 1);
        ASSERT_EQ(record->b, ~record->a);
        last = record->a;
    }
    producing.join();
}

}  // namespace
}  // namespace holdfast::daemon
