#include "daemon/io/nbd_session.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/assert.h"

namespace holdfast::daemon {

namespace {

using initiator::RequestKind;

bool is_bulk(nbd::Command command) noexcept {
    return command == nbd::Command::Trim || command == nbd::Command::WriteZeroes;
}
bool is_data(nbd::Command command) noexcept {
    return command == nbd::Command::Read || command == nbd::Command::Write;
}

}  // namespace

void NbdSession::start(const NbdUnit& unit, NbdTable& table, std::uint8_t client) noexcept {
    HF_ASSERT(state_ == State::Closed && tags_held_ == 0);
    unit_ = &unit;
    table_ = &table;
    client_ = client;
    state_ = State::ClientFlags;
    broken_ = stalled_ = no_zeroes_ = gone_ = false;
    skip_bytes_ = 0;
    payload_first_ = payload_tag_ = reply_head_ = reply_tail_ = NbdTask::kNone;
    reply_sent_ = 0;
    payload_lent_ = 0;
    talk_sent_ = stage_begin_ = stage_end_ = 0;
    talk_.clear();
    std::array<std::byte, 18> greeting{};
    ByteWriter writer{greeting};
    writer.be64(nbd::kGreetingMagic);
    writer.be64(nbd::kOptionMagic);
    writer.be16(nbd::kFixedNewstyle | nbd::kNoZeroes);
    for (const std::byte byte : writer.written()) talk_.push(byte);
}

void NbdSession::abandon() noexcept {
    gone_ = true;
    state_ = State::Closed;
    stalled_ = false;
    talk_.clear();
    talk_sent_ = 0;
    while (reply_head_ != NbdTask::kNone) {
        const std::uint16_t first = reply_head_;
        reply_head_ = (*table_)[first].next_reply;
        release(first);
    }
    reply_tail_ = NbdTask::kNone;
    if (payload_first_ != NbdTask::kNone) release(std::exchange(payload_first_, NbdTask::kNone));
}

bool NbdSession::wants_close() const noexcept {
    if (state_ == State::Closed) return true;
    return state_ == State::Finishing && talk_.empty() && tags_held_ == 0;
}

void NbdSession::violate() noexcept {
    broken_ = true;
    state_ = State::Closed;
}

// Receiving.

std::span<std::byte> NbdSession::stage_used() noexcept {
    return std::span{stage_}.subspan(stage_begin_, stage_end_ - stage_begin_);
}

std::optional<std::span<const std::byte>> NbdSession::take(std::size_t bytes) noexcept {
    const auto used = stage_used();
    if (used.size() < bytes) return {};
    stage_begin_ += bytes;
    return used.first(bytes);
}

std::span<std::span<std::byte>> NbdSession::rx_spaces(
    std::span<std::span<std::byte>> out) noexcept {
    HF_ASSERT(out.size() >= kRxSpansMax);
    if (state_ == State::Closed || state_ == State::Finishing) return {};
    if (stage_begin_ > 0) {
        const auto used = stage_used();
        std::memmove(stage_.data(), used.data(), used.size());
        stage_end_ = used.size();
        stage_begin_ = 0;
    }
    std::size_t count = 0;
    payload_lent_ = 0;
    if (state_ == State::Payload && skip_bytes_ == 0) {
        // What was in the stage has been moved into the buffer already.
        HF_ASSERT(stage_end_ == 0);
        const std::uint32_t bytes = (*table_)[payload_tag_].bytes;
        payload_lent_ = bytes - payload_filled_;
        out[count++] = table_->buffer(payload_tag_).first(bytes).subspan(payload_filled_);
    }
    if (stage_end_ < stage_.size()) out[count++] = std::span{stage_}.subspan(stage_end_);
    return out.first(count);
}

void NbdSession::rx_filled(std::size_t bytes) noexcept {
    if (state_ == State::Closed || state_ == State::Finishing) return;
    // A payload may have begun after its spaces were asked for: then its bytes are in the stage.
    const std::size_t direct = std::min(bytes, std::exchange(payload_lent_, 0));
    if (direct > 0) advance_payload(direct);
    bytes -= direct;
    HF_ASSERT(bytes <= stage_.size() - stage_end_);
    stage_end_ += bytes;
    process();
}

void NbdSession::process() noexcept {
    stalled_ = false;
    while (skip() && step()) {
    }
}

/// False when more is to be thrown away than is there.
bool NbdSession::skip() noexcept {
    const std::size_t now =
        static_cast<std::size_t>(std::min<std::uint64_t>(skip_bytes_, stage_end_ - stage_begin_));
    stage_begin_ += now;
    skip_bytes_ -= now;
    return skip_bytes_ == 0;
}

/// One step forward; false when there is nothing to do with what is there.
bool NbdSession::step() noexcept {
    switch (state_) {
    case State::ClientFlags: return on_client_flags();
    case State::OptionHeader: return on_option_header();
    case State::OptionData: return on_option_data();
    case State::Request: return on_request();
    case State::Payload: return on_payload();
    case State::Finishing:
    case State::Closed: return false;
    }
    return false;
}

// Transmission.

std::optional<NbdSession::RequestHeader> NbdSession::parse_request(
    std::span<const std::byte, nbd::kRequestBytes> bytes) noexcept {
    if (be32_at<0>(bytes) != nbd::kRequestMagic) return {};
    RequestHeader header{.flags = be16_at<4>(bytes),
                         .command = static_cast<nbd::Command>(be16_at<6>(bytes)),
                         .offset = be64_at<16>(bytes),
                         .length = be32_at<24>(bytes)};
    std::ranges::copy(bytes.subspan<8, 8>(), header.cookie.begin());
    return header;
}

bool NbdSession::on_request() noexcept {
    const std::span<const std::byte> used = stage_used();
    if (used.size() < nbd::kRequestBytes) return false;
    const auto header = parse_request(used.first<nbd::kRequestBytes>());
    if (!header) {
        violate();
        return false;
    }
    if (header->command == nbd::Command::Disconnect) {
        state_ = State::Finishing;
        return false;
    }
    const std::uint32_t error = judge(*header);
    std::uint32_t count = 1;
    if (error == 0 && is_data(header->command)) count = (header->length - 1) / unit_->piece_max + 1;
    const auto first = table_->try_take(static_cast<std::uint16_t>(count));
    if (!first) {
        stalled_ = true;
        return false;
    }
    stage_begin_ += nbd::kRequestBytes;
    tags_held_ = static_cast<std::uint16_t>(tags_held_ + count);
    NbdTask& task = (*table_)[*first];
    ByteWriter reply{task.reply};
    reply.be32(nbd::kReplyMagic);
    reply.be32(0);
    reply.bytes(header->cookie);
    if (error != 0)
        refuse(*header, error, *first);
    else
        admit(*header, *first);
    return true;
}

/// Zero when the request is legal, else the error for the reply.
std::uint32_t NbdSession::judge(const RequestHeader& header) const noexcept {
    using enum nbd::Command;
    const bool writes = header.command == Write || is_bulk(header.command);
    if (!writes && header.command != Read && header.command != Flush) return nbd::kInvalid;
    if ((header.flags & ~(nbd::kFlagFua | nbd::kFlagNoHole)) != 0) return nbd::kInvalid;
    if (header.command == Flush) return 0;
    if (writes && unit_->read_only) return nbd::kPermission;
    if (header.command == Trim && !unit_->can_trim) return nbd::kNotSupported;
    if (header.command == WriteZeroes && !unit_->can_write_zeroes) return nbd::kNotSupported;
    if (header.length == 0 || header.length % unit_->block != 0) return nbd::kInvalid;
    if (header.offset % unit_->block != 0) return nbd::kInvalid;
    if (header.offset > unit_->size || header.length > unit_->size - header.offset)
        return writes ? nbd::kNoSpace : nbd::kInvalid;
    if (is_data(header.command) && header.length > payload_max()) return nbd::kInvalid;
    return 0;
}

void NbdSession::refuse(const RequestHeader& header, std::uint32_t error,
                        std::uint16_t first) noexcept {
    NbdTask& task = (*table_)[first];
    task.client = client_;
    task.command = header.command;
    task.error = error;
    // The payload comes all the same.
    if (header.command == nbd::Command::Write) skip_bytes_ = header.length;
    queue_reply(first);
}

void NbdSession::admit(const RequestHeader& header, std::uint16_t first) noexcept {
    NbdTask& head = (*table_)[first];
    head.command = header.command;
    head.force_unit_access = (header.flags & nbd::kFlagFua) != 0;
    head.no_hole = (header.flags & nbd::kFlagNoHole) != 0;
    std::uint64_t offset = header.offset;
    std::uint64_t left = is_data(header.command) ? header.length : 0;
    for (std::uint16_t tag = first; tag != NbdTask::kNone; tag = (*table_)[tag].next) {
        NbdTask& task = (*table_)[tag];
        task.client = client_;
        task.offset = offset;
        task.bytes = static_cast<std::uint32_t>(std::min<std::uint64_t>(left, unit_->piece_max));
        offset += task.bytes;
        left -= task.bytes;
        ++head.open_count;
    }
    HF_ASSERT(left == 0);
    switch (header.command) {
    case nbd::Command::Read: return submit_chain(first, RequestKind::Read);
    case nbd::Command::Flush: return submit_chain(first, RequestKind::Flush);
    case nbd::Command::Write:
        payload_first_ = payload_tag_ = first;
        payload_filled_ = 0;
        state_ = State::Payload;
        return;
    case nbd::Command::Trim:
    case nbd::Command::WriteZeroes: head.bulk_left = header.length; return submit_bulk(first);
    case nbd::Command::Disconnect: break;
    }
    HF_ASSERT(false);
}

bool NbdSession::on_payload() noexcept {
    const auto used = stage_used();
    if (used.empty()) return false;
    const auto room =
        table_->buffer(payload_tag_).first((*table_)[payload_tag_].bytes).subspan(payload_filled_);
    const std::size_t count = std::min(room.size(), used.size());
    std::memcpy(room.data(), used.data(), count);
    stage_begin_ += count;
    advance_payload(count);
    return true;
}

void NbdSession::advance_payload(std::size_t bytes) noexcept {
    NbdTask& task = (*table_)[payload_tag_];
    payload_filled_ += bytes;
    HF_ASSERT(payload_filled_ <= task.bytes);
    if (payload_filled_ < task.bytes) return;
    payload_filled_ = 0;
    payload_tag_ = task.next;
    if (payload_tag_ != NbdTask::kNone) return;
    state_ = State::Request;
    submit_chain(std::exchange(payload_first_, NbdTask::kNone), RequestKind::Write);
}

void NbdSession::submit_chain(std::uint16_t first, RequestKind kind) noexcept {
    const bool durable = kind == RequestKind::Write && (*table_)[first].force_unit_access;
    for (std::uint16_t tag = first; tag != NbdTask::kNone; tag = (*table_)[tag].next) {
        const NbdTask& task = (*table_)[tag];
        table_->push_work({.tag = tag,
                           .kind = kind,
                           .force_unit_access = durable,
                           .offset = task.offset,
                           .bytes = task.bytes});
    }
}

void NbdSession::submit_bulk(std::uint16_t first) noexcept {
    NbdTask& task = (*table_)[first];
    HF_ASSERT(task.bulk_left > 0 && unit_->bulk_max > 0);
    const std::uint64_t bytes = std::min(task.bulk_left, unit_->bulk_max);
    const bool trims = task.command == nbd::Command::Trim;
    table_->push_work({.tag = first,
                       .kind = trims ? RequestKind::Discard : RequestKind::WriteZeroes,
                       .may_unmap = trims || !task.no_hole,
                       .offset = task.offset,
                       .bytes = bytes});
    task.offset += bytes;
    task.bulk_left -= bytes;
}

void NbdSession::on_work_done(std::uint16_t tag, std::uint32_t error) noexcept {
    const std::uint16_t first = (*table_)[tag].first;
    NbdTask& head = (*table_)[first];
    HF_ASSERT(head.client == client_ && head.open_count > 0);
    if (error != 0 && head.error == 0) head.error = error;
    if (is_bulk(head.command) && head.error == 0 && !gone_) {
        if (head.bulk_left > 0) return submit_bulk(first);
        if (head.force_unit_access && !std::exchange(head.flushing, true)) {
            table_->push_work({.tag = first, .kind = RequestKind::Flush});
            return;
        }
    }
    if (--head.open_count == 0) finish(first);
}

void NbdSession::finish(std::uint16_t first) noexcept {
    if (gone_) return release(first);
    queue_reply(first);
}

void NbdSession::queue_reply(std::uint16_t first) noexcept {
    NbdTask& task = (*table_)[first];
    put_be32<4>(std::span{task.reply}, task.error);
    task.next_reply = NbdTask::kNone;
    if (reply_tail_ != NbdTask::kNone)
        (*table_)[reply_tail_].next_reply = first;
    else
        reply_head_ = first;
    reply_tail_ = first;
}

std::uint64_t NbdSession::reply_bytes(std::uint16_t first) noexcept {
    std::uint64_t bytes = nbd::kReplyBytes;
    const NbdTask& head = (*table_)[first];
    if (head.command != nbd::Command::Read || head.error != 0) return bytes;
    for (std::uint16_t tag = first; tag != NbdTask::kNone; tag = (*table_)[tag].next)
        bytes += (*table_)[tag].bytes;
    return bytes;
}

void NbdSession::release(std::uint16_t first) noexcept {
    const std::uint16_t count = table_->give_back(first);
    HF_ASSERT(tags_held_ >= count);
    tags_held_ = static_cast<std::uint16_t>(tags_held_ - count);
}

std::span<std::span<const std::byte>> NbdSession::tx_spans(
    std::span<std::span<const std::byte>> out) noexcept {
    if (state_ == State::Closed) return {};
    if (!talk_.empty()) {
        out[0] = std::as_const(talk_).span().subspan(talk_sent_);
        return out.first(1);
    }
    std::size_t count = 0;
    std::uint64_t skip = reply_sent_;
    const auto add = [&](std::span<const std::byte> bytes) {
        const std::uint64_t cut = std::min<std::uint64_t>(skip, bytes.size());
        skip -= cut;
        if (cut < bytes.size() && count < out.size()) out[count++] = bytes.subspan(cut);
    };
    for (std::uint16_t first = reply_head_; first != NbdTask::kNone && count < out.size();
         first = (*table_)[first].next_reply) {
        const NbdTask& head = (*table_)[first];
        add(head.reply);
        if (head.command != nbd::Command::Read || head.error != 0) continue;
        for (std::uint16_t tag = first; tag != NbdTask::kNone; tag = (*table_)[tag].next)
            add(table_->buffer(tag).first((*table_)[tag].bytes));
    }
    return out.first(count);
}

void NbdSession::tx_sent(std::size_t bytes) noexcept {
    if (state_ == State::Closed) return;
    if (!talk_.empty()) {
        talk_sent_ += bytes;
        HF_ASSERT(talk_sent_ <= talk_.size());
        if (talk_sent_ < talk_.size()) return;
        talk_.clear();
        talk_sent_ = 0;
        return process();
    }
    reply_sent_ += bytes;
    while (reply_head_ != NbdTask::kNone && reply_sent_ >= reply_bytes(reply_head_)) {
        const std::uint16_t first = reply_head_;
        reply_sent_ -= reply_bytes(first);
        reply_head_ = (*table_)[first].next_reply;
        if (reply_head_ == NbdTask::kNone) reply_tail_ = NbdTask::kNone;
        release(first);
    }
}

}  // namespace holdfast::daemon
