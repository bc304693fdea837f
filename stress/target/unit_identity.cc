/// What a logical unit says of itself: INQUIRY with its pages, mode pages, capacity.
#include <algorithm>
#include <bit>
#include <string_view>

#include "stress/target/unit.h"

namespace holdfast::target {
namespace {

constexpr std::string_view kVendor = "HOLDFAST";
constexpr std::string_view kProduct = "RAM TARGET      ";
constexpr std::string_view kRevision = "0001";

/// How far one GET LBA STATUS looks.
constexpr std::uint64_t kLbaStatusBlocksMax = 16'384;

/// A reply under construction: big-endian fields, one behind the other. `room` is enough for it.
class Reply {
public:
    explicit Reply(std::size_t room = 512) : bytes_(room), writer_(bytes_) {}
    Reply(const Reply&) = delete;
    Reply& operator=(const Reply&) = delete;

    Reply& u8(unsigned value) {
        writer_.u8(static_cast<std::uint8_t>(value));
        return *this;
    }
    Reply& be16(unsigned value) {
        writer_.be16(static_cast<std::uint16_t>(value));
        return *this;
    }
    Reply& be32(std::uint64_t value) {
        writer_.be32(static_cast<std::uint32_t>(value));
        return *this;
    }
    Reply& be64(std::uint64_t value) {
        writer_.be64(value);
        return *this;
    }
    Reply& text(std::string_view text) {
        writer_.text(text);
        return *this;
    }
    Reply& bytes(Bytes from) {
        writer_.bytes(from);
        return *this;
    }
    Reply& zeros(std::size_t count) {
        for (std::size_t i = 0; i < count; ++i) writer_.u8(0);
        return *this;
    }
    [[nodiscard]] std::size_t size() const { return writer_.used_bytes(); }
    [[nodiscard]] std::vector<std::byte> take() {
        HF_ASSERT(!writer_.overflowed());
        const auto written = writer_.written();
        return {written.begin(), written.end()};
    }

private:
    std::vector<std::byte> bytes_;
    ByteWriter writer_;
};

/// A reply that the allocation length may cut. SPC-4 section 4.2.5.6.
Outcome allocated(std::vector<std::byte> reply, std::uint64_t allocation) {
    reply.resize(std::min<std::uint64_t>(reply.size(), allocation));
    return Outcome{.reply = std::move(reply)};
}

std::vector<std::byte> standard_inquiry(unsigned first_byte) {
    Reply reply;
    // SPC-4, HiSup with response format 2, 91 more bytes, CmdQue.
    reply.u8(first_byte).u8(0).u8(0x06).u8(0x12).u8(91).u8(0).u8(0).u8(0x02);
    reply.text(kVendor).text(kProduct).text(kRevision).zeros(22);
    // Version descriptors: SAM-5, iSCSI, SPC-4, SBC-3.
    reply.be16(0x00a0).be16(0x0960).be16(0x0460).be16(0x04c0);
    reply.zeros(96 - reply.size());
    return reply.take();
}

std::vector<std::byte> page(std::uint8_t code, std::vector<std::byte> body) {
    Reply reply;
    reply.u8(0).u8(code).be16(static_cast<unsigned>(body.size())).bytes(body);
    return reply.take();
}

/// FNV-1a: the same serial always gives the same identifier.
std::uint64_t hash_of(std::string_view text) {
    std::uint64_t hash = 0xcbf2'9ce4'8422'2325ULL;
    for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100'0000'01b3ULL;
    return hash;
}

}  // namespace

Outcome inquiry_without_unit(CdbView cdb) {
    if ((u8_at<1>(cdb) & 1U) != 0) return Outcome::check(kNoSuchLun);
    return allocated(standard_inquiry(0x7f), be16_at<3>(cdb));
}

Outcome report_luns(CdbView cdb, std::span<const std::uint16_t> luns) {
    const std::uint64_t allocation = be32_at<6>(cdb);
    if (allocation < 16 || u8_at<2>(cdb) > 2) return Outcome::check(kInvalidFieldInCdb);
    // SELECT REPORT 01h asks for well-known units only, of which there are none.
    if (u8_at<2>(cdb) == 1) luns = {};
    Reply reply{8 + luns.size() * 8};
    reply.be32(luns.size() * 8).be32(0);
    for (const std::uint16_t lun : luns) reply.be16(lun < 256 ? lun : 0x4000U | lun).zeros(6);
    return allocated(reply.take(), allocation);
}

std::vector<std::byte> LogicalUnit::device_identification_page() const {
    Reply reply;
    // NAA, locally assigned (3h): 60 bits out of the serial.
    reply.u8(0x01).u8(0x03).be16(8);
    reply.be64((hash_of(config_.serial) & 0x0fff'ffff'ffff'ffffULL) | (3ULL << 60));
    // T10 vendor identification.
    reply.u8(0x02).u8(0x01).be16(static_cast<unsigned>(kVendor.size() + config_.serial.size()));
    reply.text(kVendor).text(config_.serial);
    // Relative target port 1, for iSCSI.
    reply.u8(0x51).u8(0x94).be16(4).be16(0).be16(1);
    return reply.take();
}

std::vector<std::byte> LogicalUnit::block_limits_page() const {
    const std::uint64_t block = disk_.block_bytes();
    const bool thin = config_.thin;
    Reply reply;
    reply.u8(0x00).u8(kCompareBlocksMax);
    reply.be16(static_cast<unsigned>(std::max<std::uint64_t>(1, 4096 / block)));
    reply.be32(kTransferBytesMax / block).be32((1ULL << 20) / block).be32(0);
    reply.be32(thin ? kUnmapBlocksMax : 0).be32(thin ? kUnmapDescriptorsMax : 0);
    reply.be32(thin ? std::max<std::uint64_t>(1, 4096 / block) : 0);
    reply.be32(thin ? 0x8000'0000ULL : 0);  // alignment 0, valid
    reply.be64(kUnmapBlocksMax);
    reply.zeros(0x3c - reply.size());
    return reply.take();
}

std::vector<std::byte> LogicalUnit::vital_page(std::uint8_t code) const {
    Reply reply;
    switch (code) {
    case 0x00: return page(code, reply.u8(0).u8(0x80).u8(0x83).u8(0xb0).u8(0xb1).u8(0xb2).take());
    case 0x80: return page(code, reply.text(config_.serial).take());
    case 0x83: return page(code, device_identification_page());
    case 0xb0: return page(code, block_limits_page());
    case 0xb1: return page(code, reply.be16(1).zeros(0x3a).take());  // non-rotating
    case 0xb2:
        // LBPU, LBPWS, LBPWS10, LBPRZ; thin provisioned.
        return page(
            code,
            reply.u8(0).u8(config_.thin ? 0xe4U : 0U).u8(config_.thin ? 2U : 0U).u8(0).take());
    default: return {};
    }
}

Outcome LogicalUnit::inquiry(CdbView cdb) const {
    const std::uint16_t allocation = be16_at<3>(cdb);
    const std::uint8_t code = u8_at<2>(cdb);
    const bool vital = (u8_at<1>(cdb) & 1U) != 0;
    if (!vital && code != 0) return Outcome::check(kInvalidFieldInCdb);
    if (!vital) return allocated(standard_inquiry(0x00), allocation);
    auto reply = vital_page(code);
    if (reply.empty()) return Outcome::check(kInvalidFieldInCdb);
    return allocated(std::move(reply), allocation);
}

Outcome LogicalUnit::mode_sense(CdbView cdb) const {
    constexpr std::uint8_t kCachingPage = 0x08;
    constexpr std::uint8_t kControlPage = 0x0a;
    constexpr std::uint8_t kAllPages = 0x3f;
    const bool six = u8_at<0>(cdb) == scsi_op::kModeSense6;
    const std::uint8_t wanted = u8_at<2>(cdb) & 0x3fU;
    const std::uint8_t control = u8_at<2>(cdb) >> 6;
    if (control == 3) return Outcome::check({sense_key::kIllegalRequest, 0x39, 0x00, {}});
    if (wanted != kCachingPage && wanted != kControlPage && wanted != kAllPages)
        return Outcome::check(kInvalidFieldInCdb);
    const bool changeable = control == 1;  // nothing is
    Reply pages;
    if (wanted != kControlPage) {
        const unsigned write_cache = disk_.cache() && !changeable ? 0x04 : 0;
        pages.u8(kCachingPage).u8(0x12).u8(write_cache).zeros(17);
    }
    if (wanted != kCachingPage) {
        const unsigned protect = config_.read_only && !changeable ? 0x08 : 0;
        pages.u8(kControlPage).u8(0x0a).u8(0x02).u8(changeable ? 0 : 0x10).u8(protect).zeros(7);
    }
    const unsigned device = 0x10U | (config_.read_only ? 0x80U : 0U);  // DPOFUA, WP
    const auto body = pages.take();
    Reply reply;
    if (six) {
        reply.u8(static_cast<unsigned>(3 + body.size())).u8(0).u8(device).u8(0).bytes(body);
        return allocated(reply.take(), u8_at<4>(cdb));
    }
    reply.be16(static_cast<unsigned>(6 + body.size())).u8(0).u8(device).zeros(4).bytes(body);
    return allocated(reply.take(), be16_at<7>(cdb));
}

Outcome LogicalUnit::read_capacity_10() const {
    Reply reply;
    reply.be32(std::min<std::uint64_t>(disk_.block_count() - 1, 0xffff'ffffU));
    reply.be32(disk_.block_bytes());
    return Outcome{.reply = reply.take()};
}

Outcome LogicalUnit::lba_status(CdbView cdb) {
    const std::uint64_t lba = be64_at<2>(cdb);
    if (!config_.thin) return Outcome::check(kInvalidFieldInCdb);
    if (lba >= disk_.block_count()) return Outcome::check(kLbaOutOfRange);
    // A block of zeros counts as deallocated: after UNMAP it reads so, and nothing else is known.
    const auto is_mapped = [this](std::uint64_t block) {
        return std::ranges::any_of(disk_.view(block, 1),
                                   [](std::byte b) { return b != std::byte{0}; });
    };
    const bool mapped = is_mapped(lba);
    const std::uint64_t end = std::min(disk_.block_count(), lba + kLbaStatusBlocksMax);
    std::uint64_t stop = lba + 1;
    while (stop < end && is_mapped(stop) == mapped) ++stop;
    Reply reply;
    reply.be32(20).be32(0).be64(lba).be32(stop - lba).u8(mapped ? 0 : 1).zeros(3);
    return allocated(reply.take(), be32_at<10>(cdb));
}

Outcome LogicalUnit::maintenance_in(CdbView cdb) {
    constexpr std::uint8_t kReportTaskFunctions = 0x0d;
    // Abort task, abort task set, clear task set, logical unit reset.
    constexpr unsigned kFunctions = 0xd8;
    if ((u8_at<1>(cdb) & 0x1fU) != kReportTaskFunctions) return Outcome::check(kInvalidFieldInCdb);
    Reply reply;
    reply.u8(kFunctions).zeros(3);
    return allocated(reply.take(), be32_at<6>(cdb));
}

Outcome LogicalUnit::service_action_in(CdbView cdb) {
    constexpr std::uint8_t kReadCapacity16 = 0x10;
    constexpr std::uint8_t kGetLbaStatus = 0x12;
    const std::uint8_t action = u8_at<1>(cdb) & 0x1fU;
    if (action == kGetLbaStatus) return lba_status(cdb);
    if (action != kReadCapacity16) return Outcome::check(kInvalidFieldInCdb);
    const auto exponent = static_cast<unsigned>(
        std::countr_zero(std::max<std::uint32_t>(1, 4096 / disk_.block_bytes())));
    Reply reply;
    reply.be64(disk_.block_count() - 1).be32(disk_.block_bytes());
    reply.u8(0).u8(exponent).be16(config_.thin ? 0xc000U : 0U).zeros(16);
    return allocated(reply.take(), be32_at<10>(cdb));
}

}  // namespace holdfast::target
