#include "daemon/control/flight.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "base/bytes.h"
#include "base/random.h"
#include "daemon/control/flight_store.h"
#include "tests/daemon/control/temp_directory.h"

namespace holdfast::daemon {
namespace {

using initiator::FlightRecord;
using initiator::RecordKind;

/// One block of a capture, as far as these tests look into it.
struct Block {
    std::uint32_t type = 0;
    std::string body;
};

std::uint32_t u32_of(std::string_view bytes, std::size_t at) {
    std::uint32_t value = 0;
    EXPECT_LE(at + 4, bytes.size());
    std::memcpy(&value, bytes.substr(at).data(), 4);
    return value;
}

/// Every block, and that they fit together as the format wants it.
std::vector<Block> blocks_of(std::string_view capture) {
    std::vector<Block> blocks;
    while (capture.size() >= 12) {
        const std::uint32_t bytes = u32_of(capture, 4);
        EXPECT_EQ(bytes % 4, 0U);
        EXPECT_GE(bytes, 12U);
        if (bytes < 12 || bytes > capture.size()) break;
        EXPECT_EQ(u32_of(capture, bytes - 4), bytes);
        blocks.push_back(
            {.type = u32_of(capture, 0), .body = std::string{capture.substr(8, bytes - 12)}});
        capture.remove_prefix(bytes);
    }
    EXPECT_TRUE(capture.empty());
    return blocks;
}

FlightScene scene_of(std::string host) {
    FlightScene scene;
    scene.attachment = "disk";
    scene.target = "iqn.2026-01.test:disk";
    scene.portal_host = std::move(host);
    scene.portal_port = 3260;
    return scene;
}

FlightRecord pdu_of(RecordKind kind, std::uint32_t data_bytes, std::uint64_t offset) {
    FlightRecord record;
    record.kind = kind;
    record.at = Instant::from_ns(5);
    record.stream_offset = offset;
    record.header[5] = static_cast<std::byte>(data_bytes >> 16);
    record.header[6] = static_cast<std::byte>(data_bytes >> 8);
    record.header[7] = static_cast<std::byte>(data_bytes);
    return record;
}

// Goal: a header whose data was not kept is a packet that is longer than what is there of it.
TEST(Flight, AHeaderIsATruncatedPacket) {
    const auto blocks =
        blocks_of(pcapng_of(scene_of("192.0.2.10"), {pdu_of(RecordKind::PduSent, 4096, 0)}));
    ASSERT_EQ(blocks.size(), 4U) << "section, two interfaces, one packet";
    EXPECT_EQ(blocks[3].type, 6U);
    EXPECT_EQ(u32_of(blocks[3].body, 12), 14U + 20 + 20 + 48);
    EXPECT_EQ(u32_of(blocks[3].body, 16), 14U + 20 + 20 + 48 + 4096);
}

// Goal: the made-up connection has the sequence numbers of the real one, also beyond 2^32 bytes.
TEST(Flight, SequenceNumbersAreThoseOfTheStream) {
    const std::uint64_t far = (std::uint64_t{1} << 32) + 1000;
    const auto blocks =
        blocks_of(pcapng_of(scene_of("192.0.2.10"), {pdu_of(RecordKind::PduSent, 0, far),
                                                     pdu_of(RecordKind::PduReceived, 0, 480)}));
    ASSERT_EQ(blocks.size(), 5U);
    const auto tcp = [&](std::size_t block) {
        return std::as_bytes(std::span{blocks[block].body}).subspan(20 + 14 + 20).first<20>();
    };
    EXPECT_EQ(be32_at<4>(tcp(3)), 1001U);
    EXPECT_EQ(be32_at<4>(tcp(4)), 481U);
    EXPECT_EQ(be32_at<8>(tcp(4)), 1001U + 48) << "acknowledges what was sent before";
    EXPECT_EQ(be16_at<2>(tcp(3)), 3260U);
    EXPECT_EQ(be16_at<0>(tcp(4)), 3260U);
}

// Goal: addresses of both families, names, and PDUs longer than an IP packet all give a capture.
TEST(Flight, EveryPortalAndEveryLengthGivesACapture) {
    for (const char* host : {"192.0.2.10", "2001:db8::10", "storage.example.org", ""}) {
        for (const std::uint32_t bytes : {0U, 1U, 65535U, (1U << 24) - 1}) {
            const auto blocks =
                blocks_of(pcapng_of(scene_of(host), {pdu_of(RecordKind::PduSent, bytes, 0)}));
            EXPECT_EQ(blocks.size(), 4U) << host;
        }
    }
}

// Goal: every record that a reader lets through can be written, whatever is in it.
TEST(Flight, EverySoundRecordCanBeWritten) {
    SplitMix64 random{3};
    const initiator::RecorderShape shape{.connections = 2, .records = 64};
    std::vector<initiator::RecordCell> cells(shape.cells());
    std::size_t written = 0;
    for (int round = 0; round < 300; ++round) {
        std::vector<FlightRecord> records;
        for (std::size_t i = 0; i < cells.size(); ++i) {
            for (auto& word : cells[i].words) word.store(random.next());
            cells[i].words[0].store(2 * (1 + random.below(1000)));
            cells[i].words[1].store(random.next() >> 1);
            cells[i].words[2].store(random.next() & 0xffff'0707'0707'0107U);
            const auto read = FlightReader{cells, shape}.try_read(i);
            if (read && *read) records.push_back(**read);
        }
        written += records.size();
        ASSERT_EQ(blocks_of(pcapng_of(scene_of("192.0.2.1"), records)).size(), 3 + records.size());
    }
    EXPECT_GT(written, 1000U);
}

// Goal: a damaged recorder ends in a failure that says so, never in a capture that lies.
TEST(Flight, ADamagedRecorderIsRefused) {
    const initiator::RecorderShape shape{.connections = 1, .records = 16};
    std::vector<initiator::RecordCell> cells(shape.cells());
    EXPECT_TRUE(collect_flight({cells, shape}));
    cells[3].words[0].store(2);
    cells[3].words[2].store(0xff);
    const auto refused = collect_flight({cells, shape});
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ExitCode::Failed);
    EXPECT_THAT(refused.error().sentence, testing::HasSubstr("damaged"));
}

// Goal: records come in the order of time, whatever cells they stand in.
TEST(Flight, RecordsComeInOrderOfTime) {
    const initiator::RecorderShape shape{.connections = 2, .records = 8};
    std::vector<initiator::RecordCell> cells(shape.cells());
    initiator::Recorder recorder{{.cells = cells, .shape = shape}};
    const std::array<std::byte, initiator::kBhsBytes> header{};
    for (int i = 0; i < 7; ++i) {
        recorder.set_time(Instant::from_ns(10 + i));
        recorder.on_sent(static_cast<std::uint8_t>(i % 2), header, {});
        recorder.on_notice({});
    }
    const auto records = collect_flight({cells, shape});
    ASSERT_TRUE(records);
    ASSERT_EQ(records->size(), 14U);
    for (std::size_t i = 0; i < records->size(); ++i)
        EXPECT_EQ((*records)[i].at, Instant::from_ns(10 + static_cast<std::int64_t>(i / 2)));
}

// Goal: every state, event and notice has words of its own.
TEST(Flight, EveryStateHasWords) {
    std::set<std::string> texts;
    const auto add = [&](RecordKind kind, std::uint8_t from, std::uint8_t to, std::uint8_t event) {
        FlightRecord record;
        record.kind = kind;
        record.from = from;
        record.to = to;
        record.event = event;
        const std::string text = sentence_of(record);
        EXPECT_THAT(text, testing::Not(testing::HasSubstr("unknown")));
        EXPECT_TRUE(texts.insert(text).second) << text;
    };
    for (std::uint8_t i = 0; i < 7; ++i) add(RecordKind::Connection, i, 0, i);
    for (std::uint8_t i = 0; i < 3; ++i) add(RecordKind::Cleanup, i, 1, i);
    for (std::uint8_t i = 0; i < 3; ++i) add(RecordKind::Session, i, 1, i);
    for (std::uint8_t i = 0; i < 9; ++i) add(RecordKind::Phase, i, 1, 0);
    for (std::uint8_t i = 0; i < 20; ++i) add(RecordKind::Notice, 0, 0, i);
}

// Goal: of each attachment only so many recordings stay, the newest; those of others are not ours.
TEST(FlightStore, KeepsTheNewestOfEachAttachment) {
    const TempDirectory directory;
    const FlightStore store{directory.path("deep/traces"), 3};
    constexpr std::int64_t kSecond = 1'000'000'000;
    for (int i = 0; i < 7; ++i) ASSERT_TRUE(store.keep("disk", (1'800'000'000 + i) * kSecond, "x"));
    const auto other = store.keep("disk-2", 1'700'000'000 * kSecond, "y");
    ASSERT_TRUE(other);
    ASSERT_TRUE(store.keep("disk", 1'800'000'007 * kSecond, "z"));
    std::set<std::string> names;
    for (const auto& at : std::filesystem::directory_iterator{directory.path("deep/traces")})
        names.insert(at.path().filename());
    EXPECT_THAT(names, testing::ElementsAre(
                           "disk-2-20231114T221320.000Z.pcapng", "disk-20270115T080005.000Z.pcapng",
                           "disk-20270115T080006.000Z.pcapng", "disk-20270115T080007.000Z.pcapng"));
    EXPECT_EQ(std::filesystem::status(*other).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

// Goal: a directory that cannot be made is an error, not a loss of control.
TEST(FlightStore, ADirectoryThatCannotBeMadeIsAnError) {
    const TempDirectory directory;
    const FlightStore store{directory.write("file", "") + "/traces", 3};
    EXPECT_FALSE(store.keep("disk", 0, "x"));
}

}  // namespace
}  // namespace holdfast::daemon
