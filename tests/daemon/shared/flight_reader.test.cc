#include "daemon/shared/flight_reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "daemon/shared/shared_area.h"
#include "initiator/recorder.h"

namespace holdfast::daemon {
namespace {

using initiator::FlightRecord;
using initiator::Recorder;
using initiator::RecorderMemory;
using initiator::RecorderShape;
using initiator::RecordKind;

constexpr std::uint32_t kStates = RecorderShape::kStateRecords;

/// Memory for a recorder, and a reader of it.
class Flight {
public:
    explicit Flight(std::uint32_t records, std::uint32_t connections = 1)
        : shape_{.connections = connections, .records = records}, cells_(shape_.cells()) {}
    [[nodiscard]] RecorderMemory memory() { return {.cells = cells_, .shape = shape_}; }
    [[nodiscard]] FlightReader reader() const { return {cells_, shape_}; }
    [[nodiscard]] std::vector<initiator::RecordCell>& cells() { return cells_; }
    /// Task tags of all headers, by number.
    [[nodiscard]] std::map<std::uint64_t, std::uint32_t> headers() const {
        std::map<std::uint64_t, std::uint32_t> found;
        for (std::size_t i = kStates; i < cells_.size(); ++i) {
            const auto record = reader().try_read(i);
            EXPECT_TRUE(record.has_value());
            if (record && *record)
                found[(*record)->number] = be32_at<16>(initiator::Bhs{(*record)->header});
        }
        return found;
    }

private:
    RecorderShape shape_;
    std::vector<initiator::RecordCell> cells_;
};

/// A header that says `mark` in every word.
std::array<std::byte, initiator::kBhsBytes> header_of(std::uint32_t mark) {
    std::array<std::byte, initiator::kBhsBytes> header{};
    ByteWriter out{header};
    for (std::size_t i = 0; i < header.size() / 4; ++i) out.be32(mark);
    return header;
}

void send(Recorder& recorder, std::uint32_t mark) {
    recorder.set_time(Instant::from_ns(mark));
    recorder.on_sent(0, header_of(mark), {});
}

void lose(Recorder& recorder) {
    using namespace initiator;
    const auto step_taken = step(ConnState::LoggedIn, ConnEvent::TransportLost);
    recorder.on_step(0, ConnState::LoggedIn, *step_taken, ConnEvent::TransportLost);
}

// Goal: a header comes back as it went in, with everything around it.
TEST(FlightReader, GivesBackWhatWasRecorded) {
    Flight flight{16, 2};
    Recorder recorder{flight.memory()};
    recorder.set_time(Instant::from_ns(77));
    recorder.on_received(1, header_of(0), {.header = true, .data = true}, Recorder::Judged::Good);
    recorder.on_received(1, header_of(0x31000000), {.header = true, .data = true},
                         Recorder::Judged::Broken);
    const auto record = flight.reader().try_read(kStates + 16 + 1);
    ASSERT_TRUE(record && *record);
    const FlightRecord& found = **record;
    EXPECT_EQ(found.kind, RecordKind::PduReceived);
    EXPECT_EQ(found.at, Instant::from_ns(77));
    EXPECT_EQ(found.conn, 1);
    EXPECT_EQ(found.number, 1U);
    EXPECT_TRUE(found.is_broken && found.digests.header && found.digests.data);
    EXPECT_EQ(found.stream_offset, 52U) << "behind the first: 48 and a header digest";
    EXPECT_EQ(found.header, header_of(0x31000000));
    EXPECT_FALSE(*flight.reader().try_read(0)) << "no state was recorded";
}

// Goal: of many headers the last ones stay, each once and in order.
TEST(FlightReader, KeepsTheLastHeadersWhenTheRingWraps) {
    Flight flight{16};
    Recorder recorder{flight.memory()};
    for (std::uint32_t i = 0; i < 1000; ++i) send(recorder, i);
    const auto found = flight.headers();
    ASSERT_EQ(found.size(), 8U) << "the half that is in use";
    std::uint64_t expected = 992;
    for (const auto& [number, mark] : found) {
        EXPECT_EQ(number, expected);
        EXPECT_EQ(mark, expected++);
    }
}

// Goal: what led to a loss stays, however much traffic comes behind it.
TEST(FlightReader, WhatLedToALossIsNotOverwrittenByWhatFollows) {
    Flight flight{16};
    Recorder recorder{flight.memory()};
    for (std::uint32_t i = 0; i < 100; ++i) send(recorder, i);
    lose(recorder);
    for (std::uint32_t i = 100; i < 1000; ++i) send(recorder, i);
    const auto found = flight.headers();
    EXPECT_EQ(found.size(), 16U);
    for (std::uint64_t kept = 92; kept < 100; ++kept) EXPECT_TRUE(found.contains(kept)) << kept;
    EXPECT_TRUE(found.contains(999));
}

// Goal: a successor goes on counting, and leaves the last half of its predecessor in place.
TEST(FlightReader, SuccessorGoesOnBehindItsPredecessor) {
    Flight flight{16};
    {
        Recorder first{flight.memory()};
        for (std::uint32_t i = 0; i < 20; ++i) send(first, i);
    }
    flight.cells()[kStates + 4].words[0].fetch_sub(1);  // It died while it wrote number 12 or 20.
    Recorder second{flight.memory()};
    send(second, 4000);
    const auto found = flight.headers();
    EXPECT_TRUE(found.contains(19));
    EXPECT_EQ(found.rbegin()->second, 4000U);
    EXPECT_EQ(found.rbegin()->first, 20U);
    EXPECT_EQ(found.size(), 8U) << "seven whole ones of the first, one of the second";
}

// Goal: a recorder without memory is legal and keeps nothing.
TEST(FlightReader, NoMemoryNoRecords) {
    Recorder recorder;
    send(recorder, 1);
    lose(recorder);
    Flight flight{0};
    EXPECT_EQ(flight.reader().size(), 0U);
}

// Goal: a reader never shows half a record while the writer goes round and round.
// Method: all words of a record carry one number. The thread sanitizer watches the cells.
TEST(FlightReader, ConcurrentReadersNeverSeeATornRecord) {
    Flight flight{4};
    std::atomic<bool> is_done{false};
    std::atomic<std::uint32_t> readings{0};
    std::thread writing{[&] {
        Recorder recorder{flight.memory()};
        // Goes on until the reader has seen enough, whatever the scheduler does.
        for (std::uint32_t i = 1; i < 200'000 || readings.load() < 1'000; ++i) send(recorder, i);
        is_done.store(true);
    }};
    while (!is_done.load()) {
        for (std::size_t i = kStates; i < kStates + 4; ++i) {
            const auto record = flight.reader().try_read(i);
            ASSERT_TRUE(record.has_value());
            if (!*record) continue;
            const auto mark = static_cast<std::uint32_t>((*record)->at.ns());
            ASSERT_EQ((*record)->header, header_of(mark));
            ASSERT_EQ((*record)->number, mark - 1U);
            readings.fetch_add(1);
        }
    }
    writing.join();
}

// Goal: each way in which a whole record can be impossible has its own error.
TEST(FlightReader, EachKindOfDamageIsNamed) {
    const auto read_with = [](std::size_t cell, std::size_t word, std::uint64_t value) {
        Flight flight{16, 2};
        Recorder recorder{flight.memory()};
        send(recorder, 5);
        lose(recorder);
        flight.cells()[cell].words[word].store(value);
        return flight.reader().try_read(cell);
    };
    const auto expect = [](const auto& read, FlightError error) {
        ASSERT_FALSE(read.has_value());
        EXPECT_EQ(read.error(), error);
    };
    expect(read_with(kStates, 0, ~std::uint64_t{1}), FlightError::Number);
    expect(read_with(kStates, 2, 0xff), FlightError::Kind);
    expect(read_with(kStates, 2, 2), FlightError::Kind);             // A state where headers are.
    expect(read_with(0, 2, 0), FlightError::Kind);                   // A header where states are.
    expect(read_with(kStates, 2, 0x0100), FlightError::Connection);  // The other one's cell.
    expect(read_with(0, 2, 0x0902), FlightError::Connection);
    expect(read_with(0, 1, ~std::uint64_t{0}), FlightError::Time);
    expect(read_with(0, 2, 0xff000002), FlightError::State);
    constexpr auto kNoNotice =
        static_cast<std::uint64_t>(initiator::NoticeKind::NegotiationNote) + 1;
    expect(read_with(0, 2, (kNoNotice << 40) | 6), FlightError::State);
    Flight flight{16};
    const FlightReader other{flight.cells(), {.connections = 2, .records = 16}};
    expect(other.try_read(0), FlightError::Shape);
}

// Goal: whatever stands in the cells, reading is safe and gives sound records or an error.
TEST(FlightReader, RandomWordsAreSafeToRead) {
    Flight flight{16, 2};
    SplitMix64 random{11};
    int records = 0;
    int errors = 0;
    for (int round = 0; round < 20'000; ++round) {
        const std::size_t at = random.below(flight.cells().size());
        auto& words = flight.cells()[at].words;
        for (auto& word : words) word.store(random.next());
        words[0].store(2 * (1 + random.below(1000)));
        words[1].store(random.next() >> 1);
        words[2].store(random.next() & 0xffff'0707'0707'0107U);
        const auto read = flight.reader().try_read(at);
        if (!read) {
            ++errors;
            continue;
        }
        ASSERT_TRUE(read->has_value());
        ASSERT_LT((*read)->conn, 2);
        ++records;
    }
    EXPECT_GT(records, 100);
    EXPECT_GT(errors, 100);
}

// Goal: the area of an attachment carries its recorder, and one whose head lies about it is
// refused.
TEST(SharedArea, CarriesTheCellsThatItsHeadPromises) {
    const RecorderShape shape{.connections = 2, .records = 16};
    const auto fd = make_shared_area(shape);
    ASSERT_TRUE(fd.has_value());
    {
        const auto mapped = SharedMapping::map(fd->get());
        ASSERT_TRUE(mapped.has_value());
        ASSERT_EQ(mapped->flight().cells.size(), kStates + 32U);
        Recorder recorder{mapped->flight()};
        send(recorder, 9);
    }
    const auto again = SharedMapping::map(fd->get());
    ASSERT_TRUE(again.has_value());
    const FlightReader reader{again->flight().cells, again->flight().shape};
    EXPECT_TRUE(*reader.try_read(kStates));
    for (const RecorderShape lie :
         {RecorderShape{.connections = 2, .records = 18},
          RecorderShape{.connections = 9, .records = 16},
          RecorderShape{.connections = 2, .records = 15}, RecorderShape{}}) {
        again->area().flight = lie;
        EXPECT_FALSE(SharedMapping::map(fd->get()).has_value());
    }
}

// Goal: every profile's recorder can be made, and that of swap is small.
TEST(SharedArea, EveryProfileHasARecorder) {
    AttachSpec spec;
    for (std::uint8_t i = 0; i < kProfileCount; ++i) {
        spec.profile = static_cast<ProfileId>(i);
        spec.limits.connections = AttachSpec::kConnectionsMax;
        EXPECT_TRUE(flight_shape_of(spec).is_sound());
        EXPECT_GT(flight_shape_of(spec).cells(), 0U);
    }
    spec.profile = ProfileId::Swap;
    spec.limits.connections = 1;
    EXPECT_LE(flight_shape_of(spec).cells() * sizeof(initiator::RecordCell), 32U * 1024);
}

}  // namespace
}  // namespace holdfast::daemon
