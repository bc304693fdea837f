#include "initiator/login/send_targets.h"

#include "base/assert.h"
#include "initiator/login/key.h"

namespace holdfast::initiator {

void write_send_targets_all(TextOut& out) noexcept {
    out.pair(spec_of(KeyId::SendTargets).name, "All");
}

void write_send_targets(TextOut& out, std::string_view target_name) noexcept {
    out.pair(spec_of(KeyId::SendTargets).name, target_name);
}

std::optional<Finding> SendTargetsParser::poll(std::span<const std::byte>& data) noexcept {
    while (!data.empty() && error_ == SendTargetsError::None) {
        const std::string_view text = as_text(data);
        const std::size_t end = text.find(kPairEnd);
        const std::string_view piece = text.substr(0, end);
        const bool is_whole = end != std::string_view::npos;
        data = data.subspan(is_whole ? end + 1 : data.size());
        bytes_ += piece.size() + (is_whole ? 1 : 0);
        if (bytes_ > kSendTargetsBytesMax) {
            error_ = SendTargetsError::TooLong;
            break;
        }
        // Of an over-long pair the front is kept: its key says whose address follows.
        const std::size_t room = pair_.capacity() - pair_.size();
        is_overlong_ = is_overlong_ || piece.size() > room;
        const bool fits = pair_.try_append(piece.substr(0, room));
        HF_ASSERT(fits);
        if (!is_whole) break;
        auto finding = end_pair();
        if (finding) return finding;
    }
    if (error_ != SendTargetsError::None) data = {};
    return {};
}

std::optional<Finding> SendTargetsParser::finish() noexcept {
    if (error_ == SendTargetsError::None && !pair_.empty()) {
        error_ = SendTargetsError::TextMalformed;
    }
    return take_record_end();
}

std::optional<Finding> SendTargetsParser::end_pair() noexcept {
    const FixedString<kPairBytesMax> pair = pair_;
    const bool is_overlong = is_overlong_;
    pair_.clear();
    is_overlong_ = false;
    const std::string_view text = pair.view();
    const std::size_t equals = text.find('=');
    const KeyId key = key_of(text.substr(0, equals));
    if (is_overlong) {
        ++ignored_;
        if (key != KeyId::TargetName) return {};
        auto finding = take_record_end();
        record_ = Record::Illegal;
        return finding;
    }
    if (text.empty()) return {};  // Nulls between or behind pairs: padding.
    if (equals == std::string_view::npos) {
        error_ = SendTargetsError::TextMalformed;
        return {};
    }
    const std::string_view value = text.substr(equals + 1);
    if (key == KeyId::TargetName) return take_name(value);
    if (key == KeyId::TargetAddress) return take_address(value);
    ++ignored_;
    return {};
}

/// The record before the next name, or before the end: a finding only if no address came.
std::optional<Finding> SendTargetsParser::take_record_end() noexcept {
    const bool is_due = record_ == Record::WithoutAddress;
    record_ = Record::None;
    if (!is_due) return {};
    return Finding{.target = target_, .address = {}};
}

std::optional<Finding> SendTargetsParser::take_name(std::string_view name) noexcept {
    auto finding = take_record_end();
    const bool is_legal = normalise_name(name).has_value() && target_.try_assign(name);
    record_ = is_legal ? Record::WithoutAddress : Record::Illegal;
    if (!is_legal) ++ignored_;
    return finding;
}

std::optional<Finding> SendTargetsParser::take_address(std::string_view address) noexcept {
    if (record_ == Record::None) {
        error_ = SendTargetsError::AddressWithoutName;
        return {};
    }
    const auto parsed = parse_target_address(address);
    if (record_ == Record::Illegal || !parsed) {
        ++ignored_;
        // An address that we cannot use is still an address: the target is not "right here".
        if (record_ == Record::WithoutAddress) record_ = Record::WithAddress;
        return {};
    }
    record_ = Record::WithAddress;
    return Finding{.target = target_, .address = *parsed};
}

}  // namespace holdfast::initiator
