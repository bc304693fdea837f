#include <algorithm>
#include <array>

#include "base/assert.h"
#include "base/bytes.h"
#include "daemon/io/nbd_session.h"

// The negotiation half of NbdSession: everything before the first request.

namespace holdfast::daemon {

namespace {

constexpr std::uint64_t kPayloadBytesMax = 32ULL * 1024 * 1024;

}  // namespace

bool NbdSession::on_client_flags() noexcept {
    const auto bytes = take(nbd::kClientFlagsBytes);
    if (!bytes) return false;
    const std::uint32_t flags = be32_at<0>(bytes->first<nbd::kClientFlagsBytes>());
    constexpr std::uint32_t kKnown = nbd::kFixedNewstyle | nbd::kNoZeroes;
    if ((flags & ~kKnown) != 0 || (flags & nbd::kFixedNewstyle) == 0) {
        violate();
        return false;
    }
    no_zeroes_ = (flags & nbd::kNoZeroes) != 0;
    state_ = State::OptionHeader;
    return true;
}

bool NbdSession::on_option_header() noexcept {
    // One answer at a time: a client that does not read gets no further.
    if (!talk_.empty()) return false;
    const auto bytes = take(nbd::kOptionHeaderBytes);
    if (!bytes) return false;
    const auto header = bytes->first<nbd::kOptionHeaderBytes>();
    if (be64_at<0>(header) != nbd::kOptionMagic) {
        violate();
        return false;
    }
    option_ = be32_at<8>(header);
    option_bytes_ = be32_at<12>(header);
    if (option_bytes_ <= kOptionBytesMax) {
        state_ = State::OptionData;
        return true;
    }
    skip_bytes_ = option_bytes_;
    if (option_ == static_cast<std::uint32_t>(nbd::Option::ExportName)) violate();
    put_option_reply(nbd::OptionReply::TooBig, {});
    return true;
}

bool NbdSession::on_option_data() noexcept {
    const auto data = take(option_bytes_);
    if (!data) return false;
    state_ = State::OptionHeader;
    answer_option(*data);
    return true;
}

void NbdSession::answer_option(std::span<const std::byte> data) noexcept {
    switch (static_cast<nbd::Option>(option_)) {
    case nbd::Option::ExportName: return answer_export_name(data);
    case nbd::Option::Abort:
        put_option_reply(nbd::OptionReply::Ack, {});
        state_ = State::Finishing;
        return;
    case nbd::Option::List: return answer_list(data);
    case nbd::Option::Info:
    case nbd::Option::Go: return answer_info(data);
    }
    put_option_reply(nbd::OptionReply::Unsupported, {});
}

void NbdSession::answer_export_name(std::span<const std::byte> data) noexcept {
    // This option has no error reply: the only answer to a wrong name is to hang up.
    if (!is_our_name(data)) return violate();
    std::array<std::byte, 10 + nbd::kExportNamePadding> answer{};
    ByteWriter writer{answer};
    writer.be64(unit_->size);
    writer.be16(transmission_flags());
    const std::size_t bytes = writer.used_bytes() + (no_zeroes_ ? 0 : nbd::kExportNamePadding);
    for (const std::byte byte : std::span{answer}.first(bytes)) talk_.push(byte);
    state_ = State::Request;
}

void NbdSession::answer_list(std::span<const std::byte> data) noexcept {
    if (!data.empty()) return put_option_reply(nbd::OptionReply::Invalid, {});
    std::array<std::byte, 4 + 32> entry{};
    ByteWriter writer{entry};
    writer.be32(static_cast<std::uint32_t>(unit_->name.size()));
    writer.text(unit_->name.view());
    put_option_reply(nbd::OptionReply::Server, writer.written());
    put_option_reply(nbd::OptionReply::Ack, {});
}

void NbdSession::answer_info(std::span<const std::byte> data) noexcept {
    ByteReader reader{data};
    const auto name_bytes = reader.try_be32();
    const auto name = name_bytes ? reader.try_bytes(*name_bytes) : std::nullopt;
    const auto wishes = name ? reader.try_be16() : std::nullopt;
    if (!wishes || reader.left_bytes() != std::size_t{*wishes} * 2)
        return put_option_reply(nbd::OptionReply::Invalid, {});
    if (!is_our_name(*name)) return put_option_reply(nbd::OptionReply::Unknown, {});

    std::array<std::byte, 14> room{};
    ByteWriter about_export{room};
    about_export.be16(static_cast<std::uint16_t>(nbd::Info::Export));
    about_export.be64(unit_->size);
    about_export.be16(transmission_flags());
    put_option_reply(nbd::OptionReply::Info, about_export.written());
    // Told whether asked or not: a client that knows the limits keeps them.
    ByteWriter about_blocks{room};
    about_blocks.be16(static_cast<std::uint16_t>(nbd::Info::BlockSize));
    about_blocks.be32(unit_->block);
    about_blocks.be32(unit_->preferred);
    about_blocks.be32(payload_max());
    put_option_reply(nbd::OptionReply::Info, about_blocks.written());
    put_option_reply(nbd::OptionReply::Ack, {});
    if (static_cast<nbd::Option>(option_) == nbd::Option::Go) state_ = State::Request;
}

void NbdSession::put_option_reply(nbd::OptionReply reply,
                                  std::span<const std::byte> data) noexcept {
    std::array<std::byte, 20> header{};
    ByteWriter writer{header};
    writer.be64(nbd::kOptionReplyMagic);
    writer.be32(option_);
    writer.be32(static_cast<std::uint32_t>(reply));
    writer.be32(static_cast<std::uint32_t>(data.size()));
    for (const std::byte byte : writer.written()) talk_.push(byte);
    for (const std::byte byte : data) talk_.push(byte);
}

bool NbdSession::is_our_name(std::span<const std::byte> name) const noexcept {
    return name.empty() || as_text(name) == unit_->name.view();
}

std::uint16_t NbdSession::transmission_flags() const noexcept {
    // A flush covers the whole unit, whoever wrote: so several connections are one disk.
    unsigned flags = nbd::kHasFlags | nbd::kSendFlush | nbd::kCanMultiConn;
    if (unit_->rotational) flags |= nbd::kRotational;
    if (unit_->read_only) return static_cast<std::uint16_t>(flags | nbd::kReadOnly);
    flags |= nbd::kSendFua;
    if (unit_->can_trim) flags |= nbd::kSendTrim;
    if (unit_->can_write_zeroes) flags |= nbd::kSendWriteZeroes;
    return static_cast<std::uint16_t>(flags);
}

std::uint32_t NbdSession::payload_max() const noexcept {
    const std::uint64_t all_tags = std::uint64_t{unit_->piece_max} * table_->tags();
    return static_cast<std::uint32_t>(std::min(all_tags, kPayloadBytesMax));
}

}  // namespace holdfast::daemon
