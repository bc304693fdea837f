#include "initiator/pdu/initiator_pdu.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "tests/initiator/pdu/headers.h"

namespace holdfast::initiator {
namespace {

using testing::Header;

/// A header as it is written over garbage: nothing of what stood there may remain.
template <class Fields>
Header written(const Fields& fields) {
    Header header{0xff};
    for (std::size_t i = 0; i < kBhsBytes; ++i) header.set8(i, 0xff);
    write(header.out(), fields);
    return header;
}

/// True when all bytes outside the listed half-open ranges are 0.
struct Range {
    std::size_t from;
    std::size_t to;
};
bool is_zero_outside(const Header& header, const std::vector<Range>& used) {
    for (std::size_t i = 0; i < kBhsBytes; ++i) {
        bool in_use = false;
        for (const Range range : used) in_use = in_use || (i >= range.from && i < range.to);
        if (!in_use && header.at8(i) != 0) return false;
    }
    return true;
}

constexpr CmdSn kCmdSn{0x0a0b'0c0d};
constexpr StatSn kStatSn{0x1a1b'1c1d};
constexpr Lun kLun{0x0001'0203'0405'0607};

// Goal: the example of appendix A.4, READ(10) of two blocks, comes out byte for byte.
// Rows: PDU-01, PDU-02, PDU-10, DIG-02, TSK-02
TEST(ScsiCommand, ExampleOfTheStandardIsReproduced) {
    ScsiCommandHeader command;
    command.direction = DataDirection::Read;
    command.attribute = TaskAttribute::Untagged;
    command.itt = Itt{0x1400'0000};
    command.expected_bytes = 0x400;
    command.cmd_sn = CmdSn{0x14};
    command.expected_stat_sn = StatSn{0x18};
    command.cdb[0] = std::byte{0x28};
    command.cdb[8] = std::byte{0x02};
    const Header header = written(command);
    Header due{0x01, 0xc0};
    due.set8(16, 0x14).set8(22, 0x04).set8(27, 0x14).set8(31, 0x18).set8(32, 0x28).set8(40, 0x02);
    for (std::size_t i = 0; i < kBhsBytes; ++i) EXPECT_EQ(header.at8(i), due.at8(i)) << i;
}

// Goal: F, R, W and the attribute stand in byte 1, the immediate bit in byte 0, and data lengths in
// their fields.
// Method: all directions, attributes and deliveries.
// Rows: WRI-08, WRI-07, PDU-07, PDU-09, TSK-01
TEST(ScsiCommand, FlagsFollowTheFields) {
    for (const auto direction : {DataDirection::None, DataDirection::Read, DataDirection::Write}) {
        for (unsigned attribute = 0; attribute <= 4; ++attribute) {
            for (const auto delivery : {Delivery::Numbered, Delivery::Immediate}) {
                ScsiCommandHeader command;
                command.delivery = delivery;
                command.direction = direction;
                command.attribute = static_cast<TaskAttribute>(attribute);
                command.itt = Itt{1};
                command.lun = kLun;
                const bool is_write = direction == DataDirection::Write;
                command.is_final = !is_write;
                command.expected_bytes = direction == DataDirection::None ? 0 : 8192;
                command.immediate_bytes = is_write ? 4096 : 0;
                const Header header = written(command);
                EXPECT_EQ(header.at8(0), delivery == Delivery::Immediate ? 0x41 : 0x01);
                unsigned flags = attribute;
                if (!is_write) flags |= 0x80;
                if (direction == DataDirection::Read) flags |= 0x40;
                if (is_write) flags |= 0x20;
                EXPECT_EQ(header.at8(1), flags);
                EXPECT_EQ(header.at32(4), command.immediate_bytes);
                EXPECT_EQ(header.at64(8), kLun.raw());
                EXPECT_EQ(header.at32(20), command.expected_bytes);
            }
        }
    }
    EXPECT_EQ(ScsiCommandHeader{}.attribute, TaskAttribute::Simple);
}

// Goal: what section 11.3 forbids is our bug and stops us.
// Rows: WRI-07, WRI-08, PDU-14, PDU-16
TEST(ScsiCommandDeathTest, ForbiddenCombinationsAreAsserted) {
    Header out{0};
    ScsiCommandHeader command;
    EXPECT_DEATH(write(out.out(), command), "itt");
    command.itt = Itt{1};
    command.is_final = false;
    EXPECT_DEATH(write(out.out(), command), "is_final");
    command = {.direction = DataDirection::None, .itt = Itt{1}, .expected_bytes = 1};
    EXPECT_DEATH(write(out.out(), command), "direction");
    command = {.direction = DataDirection::Read,
               .itt = Itt{1},
               .expected_bytes = 512,
               .immediate_bytes = 512};
    EXPECT_DEATH(write(out.out(), command), "immediate_bytes");
    command = {.is_final = false,
               .direction = DataDirection::Write,
               .itt = Itt{1},
               .expected_bytes = 512,
               .immediate_bytes = 512};
    EXPECT_DEATH(write(out.out(), command), "is_final");
}

// Goal: a function request names a LUN, a task, a RefCmdSN and a DataSN exactly where it needs
// them. Rows: TMF-01, TMF-02, TMF-03, TMF-04, TMF-05, PDU-02
TEST(TaskManagement, FieldsFollowTheFunction) {
    for (std::uint8_t code = 1; code <= 8; ++code) {
        TaskManagementHeader request;
        request.function = static_cast<TaskFunction>(code);
        request.lun = kLun;
        request.itt = Itt{2};
        request.referenced_itt = Itt{3};
        request.cmd_sn = kCmdSn;
        request.expected_stat_sn = kStatSn;
        request.referenced_cmd_sn = CmdSn{4};
        request.expected_data_sn = DataSn{5};
        const Header header = written(request);
        EXPECT_EQ(header.at8(0), 0x42);
        EXPECT_EQ(header.at8(1), 0x80 | code);
        EXPECT_EQ(header.at32(4), 0U);
        EXPECT_EQ(header.at64(8), code <= 5 ? kLun.raw() : 0);
        EXPECT_EQ(header.at32(16), 2U);
        EXPECT_EQ(header.at32(20), code == 1 || code == 8 ? 3U : 0xffff'ffffU);
        EXPECT_EQ(header.at32(24), kCmdSn.raw());
        EXPECT_EQ(header.at32(28), kStatSn.raw());
        EXPECT_EQ(header.at32(32), code == 1 ? 4U : 0U);
        EXPECT_EQ(header.at32(36), code == 8 ? 5U : 0U);
        EXPECT_TRUE(is_zero_outside(header, {{0, 2}, {8, 40}}));
    }
}

// Goal: Data-Out copies tag and LUN of its R2T; unsolicited data have neither.
// Rows: WRI-10, WRI-11, PDU-02
TEST(DataOut, TagAndLunBelongTogether) {
    DataOutHeader data;
    data.is_final = true;
    data.lun = kLun;
    data.itt = Itt{2};
    data.ttt = Ttt{9};
    data.expected_stat_sn = kStatSn;
    data.data_sn = DataSn{6};
    data.buffer_offset = 4096;
    data.data_bytes = 512;
    const Header solicited = written(data);
    EXPECT_EQ(solicited.at8(0), 0x05);
    EXPECT_EQ(solicited.at8(1), 0x80);
    EXPECT_EQ(solicited.at32(4), 512U);
    EXPECT_EQ(solicited.at64(8), kLun.raw());
    EXPECT_EQ(solicited.at32(20), 9U);
    EXPECT_EQ(solicited.at32(28), kStatSn.raw());
    EXPECT_EQ(solicited.at32(36), 6U);
    EXPECT_EQ(solicited.at32(40), 4096U);
    EXPECT_TRUE(is_zero_outside(solicited, {{0, 2}, {5, 24}, {28, 32}, {36, 44}}));
    data.ttt = kTttReserved;
    data.is_final = false;
    const Header unsolicited = written(data);
    EXPECT_EQ(unsolicited.at8(1), 0);
    EXPECT_EQ(unsolicited.at64(8), 0U);
    EXPECT_EQ(unsolicited.at32(20), 0xffff'ffffU);
}

// Goal: a text request carries the tag and LUN back, or neither; C excludes F.
// Rows: TXT-02, TXT-04, PDU-02
TEST(TextRequest, TagAndLunBelongTogether) {
    TextRequestHeader text;
    text.itt = Itt{2};
    text.lun = kLun;
    text.cmd_sn = kCmdSn;
    text.expected_stat_sn = kStatSn;
    text.data_bytes = 16;
    const Header first = written(text);
    EXPECT_EQ(first.at8(0), 0x04);
    EXPECT_EQ(first.at8(1), 0x80);
    EXPECT_EQ(first.at64(8), 0U);
    EXPECT_EQ(first.at32(20), 0xffff'ffffU);
    text.ttt = Ttt{1};
    text.is_final = false;
    text.is_continued = true;
    const Header next = written(text);
    EXPECT_EQ(next.at8(1), 0x40);
    EXPECT_EQ(next.at64(8), kLun.raw());
    EXPECT_EQ(next.at32(20), 1U);
    EXPECT_TRUE(is_zero_outside(next, {{0, 2}, {5, 32}}));
    text.is_final = true;
    Header out{0};
    EXPECT_DEATH(write(out.out(), text), "is_continued");
}

// Goal: every login request is immediate, speaks version 0, and asks for a stage only with T.
// Method: the legal moves of section 6.3.
// Rows: LOG-03, LOG-05, LOG-12, LOG-15, SID-02, PDU-02
TEST(LoginRequest, HeaderIsImmediateAndVersionZero) {
    using enum LoginStage;
    struct Move {
        LoginStage from;
        LoginStage to;
        std::uint8_t flags;
    };
    for (const Move move : {Move{Security, Operational, 0x81}, Move{Security, FullFeature, 0x83},
                            Move{Operational, FullFeature, 0x87}}) {
        LoginRequestHeader login;
        login.is_transit = true;
        login.current_stage = move.from;
        login.next_stage = move.to;
        login.isid = Isid{0x8012'3456'789aULL};
        login.tsih = Tsih{0xbeef};
        login.itt = Itt{2};
        login.cid = Cid{0x0102};
        login.cmd_sn = kCmdSn;
        login.expected_stat_sn = kStatSn;
        login.data_bytes = 300;
        const Header header = written(login);
        EXPECT_EQ(header.at8(0), 0x43);
        EXPECT_EQ(header.at8(1), move.flags);
        EXPECT_EQ(header.at8(2), 0);
        EXPECT_EQ(header.at8(3), 0);
        EXPECT_EQ(header.at64(8), 0x8012'3456'789a'beefULL);
        EXPECT_EQ(header.at32(20), 0x0102'0000U);
        EXPECT_EQ(header.at32(24), kCmdSn.raw());
        EXPECT_EQ(header.at32(28), kStatSn.raw());
        EXPECT_TRUE(is_zero_outside(header, {{0, 2}, {5, 32}}));
        login.is_transit = false;
        login.is_continued = true;
        EXPECT_EQ(written(login).at8(1), 0x40 | static_cast<unsigned>(move.from) << 2);
    }
}

// Goal: a login request cannot be made to skip back, to stay, or to continue and transit at once.
// Rows: LOG-12, LOG-15
TEST(LoginRequestDeathTest, ForbiddenMovesAreAsserted) {
    Header out{0};
    LoginRequestHeader login;
    login.is_transit = true;
    login.current_stage = LoginStage::Operational;
    login.next_stage = LoginStage::Security;
    EXPECT_DEATH(write(out.out(), login), "next_stage");
    login.next_stage = LoginStage::FullFeature;
    login.is_continued = true;
    EXPECT_DEATH(write(out.out(), login), "is_continued");
    login.is_continued = false;
    login.current_stage = LoginStage::FullFeature;
    EXPECT_DEATH(write(out.out(), login), "FullFeature");
}

// Goal: a logout names a connection unless it closes the session.
// Rows: LGO-01, LGO-03, PDU-02
TEST(LogoutRequest, CidOnlyWhenOneConnectionIsMeant) {
    for (std::uint8_t reason = 0; reason <= 2; ++reason) {
        LogoutRequestHeader logout;
        logout.reason = static_cast<LogoutReason>(reason);
        logout.itt = Itt{2};
        logout.cid = Cid{0x0304};
        logout.cmd_sn = kCmdSn;
        logout.expected_stat_sn = kStatSn;
        const Header header = written(logout);
        EXPECT_EQ(header.at8(0), 0x46);
        EXPECT_EQ(header.at8(1), 0x80 | reason);
        EXPECT_EQ(header.at32(20), reason == 0 ? 0U : 0x0304'0000U);
        EXPECT_EQ(header.at32(28), kStatSn.raw());
        EXPECT_TRUE(is_zero_outside(header, {{0, 2}, {16, 32}}));
    }
}

// Goal: the four kinds of SNACK fill tags and runs as sections 11.16.4 to 11.16.7 ask.
// Rows: ER1-01, ER1-03, ER1-04, ER1-05, ER1-08, PDU-02
TEST(Snack, FieldsFollowTheType) {
    for (std::uint8_t type = 0; type <= 3; ++type) {
        SnackHeader snack;
        snack.type = static_cast<SnackType>(type);
        snack.lun = kLun;
        snack.itt = Itt{2};
        snack.ttt = Ttt{3};
        snack.snack_tag = SnackTag{4};
        snack.expected_stat_sn = kStatSn;
        snack.first = 5;
        snack.count = 6;
        const Header header = written(snack);
        const bool is_data = type == 0;
        const bool is_ack = type == 2;
        const bool is_resegmented = type == 3;
        EXPECT_EQ(header.at8(0), 0x10);
        EXPECT_EQ(header.at8(1), 0x80 | type);
        EXPECT_EQ(header.at64(8), is_ack ? kLun.raw() : 0);
        EXPECT_EQ(header.at32(16), is_data || is_resegmented ? 2U : 0xffff'ffffU);
        EXPECT_EQ(header.at32(20), is_ack ? 3U : is_resegmented ? 4U : 0xffff'ffffU);
        EXPECT_EQ(header.at32(28), kStatSn.raw());
        EXPECT_EQ(header.at32(40), is_resegmented ? 0U : 5U);
        EXPECT_EQ(header.at32(44), is_resegmented || is_ack ? 0U : 6U);
        EXPECT_TRUE(is_zero_outside(header, {{0, 2}, {8, 24}, {28, 32}, {40, 48}}));
    }
    Header out{0};
    SnackHeader snack{.type = SnackType::ResegmentedData, .itt = Itt{1}};
    EXPECT_DEATH(write(out.out(), snack), "snack_tag");
    snack.snack_tag = SnackTag{0xffff'ffff};
    EXPECT_DEATH(write(out.out(), snack), "snack_tag");
}

// Goal: a ping has a task tag, an answer has the target's tag and LUN and is immediate.
// Rows: NOP-01, NOP-03, NOP-04, PDU-02
TEST(NopOut, PingAndAnswer) {
    NopOutHeader ping;
    ping.delivery = Delivery::Numbered;
    ping.itt = Itt{2};
    ping.cmd_sn = kCmdSn;
    ping.expected_stat_sn = kStatSn;
    ping.data_bytes = 32;
    const Header asked = written(ping);
    EXPECT_EQ(asked.at8(0), 0x00);
    EXPECT_EQ(asked.at8(1), 0x80);
    EXPECT_EQ(asked.at32(4), 32U);
    EXPECT_EQ(asked.at64(8), 0U);
    EXPECT_EQ(asked.at32(20), 0xffff'ffffU);
    NopOutHeader answer;
    answer.lun = kLun;
    answer.ttt = Ttt{3};
    answer.cmd_sn = kCmdSn;
    answer.expected_stat_sn = kStatSn;
    const Header answered = written(answer);
    EXPECT_EQ(answered.at8(0), 0x40);
    EXPECT_EQ(answered.at64(8), kLun.raw());
    EXPECT_EQ(answered.at32(16), 0xffff'ffffU);
    EXPECT_EQ(answered.at32(20), 3U);
    EXPECT_TRUE(is_zero_outside(answered, {{0, 2}, {8, 32}}));
    Header out{0};
    answer.delivery = Delivery::Numbered;
    EXPECT_DEATH(write(out.out(), answer), "Immediate");
    answer.itt = Itt{1};
    EXPECT_DEATH(write(out.out(), answer), "is_answer");
}

// Goal: bit 7 of byte 0 is 0 and the opcode is an initiator's in everything we can send; nothing
// has an AHS, because no CDB is longer than the 16 bytes of the header. Rows: PDU-07, PDU-10,
// PDU-13
TEST(InitiatorPdu, OpcodesAreOurs) {
    static_assert(sizeof(Cdb) == 16);
    const std::array headers{
        written(ScsiCommandHeader{.delivery = Delivery::Immediate, .itt = Itt{1}}),
        written(TaskManagementHeader{.itt = Itt{1}, .referenced_itt = Itt{2}}),
        written(DataOutHeader{.itt = Itt{1}}),
        written(TextRequestHeader{.itt = Itt{1}}),
        written(LoginRequestHeader{}),
        written(LogoutRequestHeader{.itt = Itt{1}}),
        written(SnackHeader{.itt = Itt{1}}),
        written(NopOutHeader{}),
    };
    const std::array<unsigned, 8> opcodes{0x01, 0x02, 0x05, 0x04, 0x03, 0x06, 0x10, 0x00};
    for (std::size_t i = 0; i < headers.size(); ++i) {
        EXPECT_EQ(headers[i].at8(0) & 0xbfU, opcodes[i]);
        EXPECT_EQ(headers[i].at8(4), 0) << "TotalAHSLength";
    }
}

// Goal: numbers are patched in place, and PDUs without a CmdSN have none patched in.
// Rows: DIG-15, STA-01, SEQ-10
TEST(InitiatorPdu, NumbersArePatchedInPlace) {
    Header header = written(ScsiCommandHeader{.itt = Itt{1}});
    patch_expected_stat_sn(header.out(), StatSn{0x1122'3344});
    patch_cmd_sn(header.out(), CmdSn{0x5566'7788});
    EXPECT_EQ(header.at32(28), 0x1122'3344U);
    EXPECT_EQ(header.at32(24), 0x5566'7788U);
    Header data = written(DataOutHeader{.itt = Itt{1}});
    EXPECT_DEATH(patch_cmd_sn(data.out(), CmdSn{1}), "DataOut");
}

}  // namespace
}  // namespace holdfast::initiator
