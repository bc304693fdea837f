/// The text form of faults: WHEN words with '=', then the name of an action and its words.
#include <algorithm>
#include <array>

#include "stress/target/fault.h"
#include "stress/target/one_of.h"
#include "stress/target/text.h"
#include "stress/target/units_text.h"
#include "stress/target/wire.h"

namespace holdfast::target {
namespace {

using Words = std::vector<std::string_view>;
using Problem = std::optional<std::string>;

struct NamedKind {
    std::string_view name;
    FaultKind kind;
};

constexpr std::array kKinds{
    NamedKind{"delay", FaultKind::Delay},
    NamedKind{"drop", FaultKind::Drop},
    NamedKind{"drop-reply", FaultKind::DropReply},
    NamedKind{"reset", FaultKind::Reset},
    NamedKind{"close", FaultKind::Close},
    NamedKind{"close-at-byte", FaultKind::CloseAtByte},
    NamedKind{"corrupt-digest", FaultKind::CorruptDataDigest},
    NamedKind{"corrupt-digest header", FaultKind::CorruptHeaderDigest},
    NamedKind{"corrupt-data", FaultKind::CorruptData},
    NamedKind{"lose-pdu", FaultKind::LosePdu},
    NamedKind{"busy", FaultKind::Busy},
    NamedKind{"task-set-full", FaultKind::TaskSetFull},
    NamedKind{"reservation-conflict", FaultKind::ReservationConflict},
    NamedKind{"unit-attention", FaultKind::UnitAttention},
    NamedKind{"check", FaultKind::Check},
    NamedKind{"reject", FaultKind::Reject},
    NamedKind{"async-logout", FaultKind::AsyncLogout},
    NamedKind{"async-drop", FaultKind::AsyncDrop},
    NamedKind{"async-drop-all", FaultKind::AsyncDropAll},
    NamedKind{"async-negotiate", FaultKind::AsyncNegotiate},
    NamedKind{"async-sense", FaultKind::AsyncSense},
    NamedKind{"async-vendor", FaultKind::AsyncVendor},
    NamedKind{"redirect", FaultKind::Redirect},
    NamedKind{"hold-write", FaultKind::HoldWrite},
    NamedKind{"stop-answering", FaultKind::StopAnswering},
    NamedKind{"power-cut", FaultKind::PowerCut},
    NamedKind{"garbage", FaultKind::Garbage},
    NamedKind{"resize", FaultKind::Resize},
    NamedKind{"ping", FaultKind::Ping},
};

struct NamedOp {
    std::string_view name;
    FaultOp op;
};

constexpr std::array kOps{NamedOp{"any", FaultOp::Any},
                          NamedOp{"command", FaultOp::Command},
                          NamedOp{"read", FaultOp::Read},
                          NamedOp{"write", FaultOp::Write},
                          NamedOp{"flush", FaultOp::Flush},
                          NamedOp{"unmap", FaultOp::Unmap},
                          NamedOp{"data-out", FaultOp::DataOut},
                          NamedOp{"login", FaultOp::Login},
                          NamedOp{"nop", FaultOp::Nop},
                          NamedOp{"text", FaultOp::Text},
                          NamedOp{"tmf", FaultOp::TaskManagement},
                          NamedOp{"logout", FaultOp::Logout}};

struct NamedReason {
    std::string_view name;
    RejectReason reason;
};

constexpr std::array kReasons{
    NamedReason{"digest", RejectReason::DataDigestError},
    NamedReason{"snack", RejectReason::SnackReject},
    NamedReason{"protocol", RejectReason::ProtocolError},
    NamedReason{"not-supported", RejectReason::CommandNotSupported},
    NamedReason{"too-many-immediate", RejectReason::TooManyImmediateCommands},
    NamedReason{"task-in-progress", RejectReason::TaskInProgress},
    NamedReason{"invalid-ack", RejectReason::InvalidDataAck},
    NamedReason{"invalid-field", RejectReason::InvalidPduField},
    NamedReason{"long-operation", RejectReason::LongOperationReject},
    NamedReason{"negotiation", RejectReason::NegotiationReset},
    NamedReason{"waiting-for-logout", RejectReason::WaitingForLogout}};

std::string quoted(std::string_view text) {
    return "'" + std::string{text} + "'";
}

template <class List>
std::string names_of(const List& list) {
    std::string names;
    for (const auto& entry : list) {
        if (entry.name.contains(' ')) continue;
        names.append(names.empty() ? "" : ", ").append(entry.name);
    }
    return names;
}

Words words_of(std::string_view text) {
    Words words;
    while (true) {
        text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
        if (text.empty()) return words;
        const auto end = std::min(text.find_first_of(" \t"), text.size());
        words.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
}

Problem set_trigger(FaultRule& rule, FaultRule::When when, std::string_view value) {
    if (rule.when != FaultRule::When::Now)
        return "has two triggers; use one of at=, every=, after-pdus=, every-pdus=, command=, "
               "every-commands=, prob=";
    rule.when = when;
    if (when == FaultRule::When::At || when == FaultRule::When::Every) {
        const auto time = parse_duration(value);
        if (!time || (when == FaultRule::When::Every && time->ns() == 0))
            return quoted(value) + " is no time; write it with a unit, as in 2.5s or 300ms";
        rule.time = *time;
    } else if (when == FaultRule::When::Chance) {
        const auto chance = parse_fraction(value);
        if (!chance) return quoted(value) + " is no probability between 0 and 1";
        rule.chance = *chance;
    } else {
        const auto count = parse_number(value);
        if (!count || *count == 0) return quoted(value) + " is no count of 1 or more";
        rule.count = *count;
    }
    return {};
}

Problem set_filter(FaultRule& rule, std::string_view key, std::string_view value) {
    if (key == "op") {
        const auto op = std::ranges::find(kOps, value, &NamedOp::name);
        if (op == kOps.end())
            return quoted(value) + " is no kind of PDU; use one of " + names_of(kOps);
        rule.op = op->op;
        return {};
    }
    const auto number = parse_number(value);
    if (!number) return quoted(value) + " is no number for " + std::string{key} + "=";
    if (key == "seed") rule.seed = *number;
    if (key == "conn") rule.connection = *number;
    if (key == "lun") rule.lun = static_cast<std::uint16_t>(*number);
    if (key == "times") rule.times = *number;
    return {};
}

Problem set_word(FaultRule& rule, std::string_view word) {
    struct NamedWhen {
        std::string_view name;
        FaultRule::When when;
    };
    constexpr std::array kTriggers{NamedWhen{"at", FaultRule::When::At},
                                   NamedWhen{"every", FaultRule::When::Every},
                                   NamedWhen{"after-pdus", FaultRule::When::AfterPdus},
                                   NamedWhen{"every-pdus", FaultRule::When::EveryPdus},
                                   NamedWhen{"command", FaultRule::When::Command},
                                   NamedWhen{"every-commands", FaultRule::When::EveryCommands},
                                   NamedWhen{"prob", FaultRule::When::Chance}};
    constexpr std::array kFilters{std::string_view{"op"}, std::string_view{"seed"},
                                  std::string_view{"conn"}, std::string_view{"lun"},
                                  std::string_view{"times"}};
    const auto equals = word.find('=');
    const auto key = word.substr(0, equals);
    const auto value = word.substr(equals + 1);
    const auto trigger = std::ranges::find(kTriggers, key, &NamedWhen::name);
    if (trigger != kTriggers.end()) return set_trigger(rule, trigger->when, value);
    if (is_one_of(key, kFilters)) return set_filter(rule, key, value);
    return "knows no " + quoted(key) + "; triggers are " + names_of(kTriggers) +
           ", filters are op, conn, lun, times, seed";
}

/// The words behind the name of the action; each may be asked for once, in order.
class Arguments {
public:
    explicit Arguments(std::span<const std::string_view> words) : words_(words) {}
    [[nodiscard]] std::string_view take() {
        if (words_.empty()) return {};
        const auto word = words_.front();
        words_ = words_.subspan(1);
        return word;
    }
    [[nodiscard]] bool take_if(std::string_view wanted) {
        if (words_.empty() || words_.front() != wanted) return false;
        words_ = words_.subspan(1);
        return true;
    }
    [[nodiscard]] bool empty() const { return words_.empty(); }

private:
    std::span<const std::string_view> words_;
};

Problem read_sense(FaultAction& action, std::string_view text, bool with_key) {
    std::vector<std::uint8_t> octets;
    while (true) {
        const auto slash = text.find('/');
        const auto octet = parse_hex_octet(text.substr(0, slash));
        if (!octet) break;
        octets.push_back(*octet);
        if (slash == std::string_view::npos) break;
        text.remove_prefix(slash + 1);
    }
    const std::size_t wanted = with_key ? 3 : 2;
    if (octets.size() != wanted)
        return with_key ? "needs KEY/ASC/ASCQ in hexadecimal, as in 3/11/00"
                        : "needs ASC/ASCQ in hexadecimal, as in 29/00";
    if (with_key) action.sense_key = octets.front() & 0x0fU;
    action.asc = octets[wanted - 2];
    action.ascq = octets[wanted - 1];
    return {};
}

Problem read_duration(FaultAction& action, Arguments& arguments, bool required) {
    if (arguments.empty() && !required) return {};
    const auto word = arguments.take();
    const auto duration = parse_duration(word);
    if (!duration) return "needs a time with its unit, as in 50ms, not " + quoted(word);
    action.duration = *duration;
    return {};
}

Problem read_reason(FaultAction& action, std::string_view word) {
    const auto named = std::ranges::find(kReasons, word, &NamedReason::name);
    const auto number = parse_number(word);
    if (named == kReasons.end() && (!number || *number > 255))
        return "needs a reason: a number, or one of " + names_of(kReasons);
    action.number = named == kReasons.end() ? *number : static_cast<std::uint64_t>(named->reason);
    return {};
}

Problem read_resize(FaultAction& action, Arguments& arguments) {
    const auto lun = parse_number(arguments.take());
    const auto size = parse_size(arguments.take());
    if (!lun || *lun > 0x3fff || !size) return "needs a LUN and a size, as in 'resize 0 2G'";
    action.lun = static_cast<std::uint16_t>(*lun);
    action.number = *size;
    return {};
}

Problem read_count(FaultAction& action, Arguments& arguments, std::uint64_t fallback) {
    const auto word = arguments.take();
    const auto size = word.empty() ? std::optional{fallback} : parse_size(word);
    if (!size) return "needs a number, not " + quoted(word);
    action.number = *size;
    return {};
}

Problem read_arguments(FaultAction& action, Arguments& arguments) {
    constexpr std::uint64_t kAsyncSeconds = 3;
    switch (action.kind) {
    case FaultKind::Delay:
    case FaultKind::HoldWrite: return read_duration(action, arguments, true);
    case FaultKind::StopAnswering:
        action.duration = Duration::max();
        return read_duration(action, arguments, false);
    case FaultKind::PowerCut:
        action.variant = arguments.take_if("random");
        return read_duration(action, arguments, false);
    case FaultKind::CloseAtByte:
    case FaultKind::Garbage:
        if (arguments.empty()) return "needs a number of bytes";
        return read_count(action, arguments, 0);
    case FaultKind::CorruptHeaderDigest:
    case FaultKind::CorruptDataDigest:
        action.kind = arguments.take_if("header") ? FaultKind::CorruptHeaderDigest
                                                  : FaultKind::CorruptDataDigest;
        if (action.kind == FaultKind::CorruptDataDigest && !arguments.take_if("data"))
            return "needs to know which: header or data";
        return {};
    case FaultKind::UnitAttention:
    case FaultKind::AsyncSense: return read_sense(action, arguments.take(), false);
    case FaultKind::Check: return read_sense(action, arguments.take(), true);
    case FaultKind::Reject: return read_reason(action, arguments.take());
    case FaultKind::AsyncLogout:
    case FaultKind::AsyncDrop:
    case FaultKind::AsyncDropAll:
    case FaultKind::AsyncNegotiate: return read_count(action, arguments, kAsyncSeconds);
    case FaultKind::Redirect:
        action.text = arguments.take();
        if (action.text.empty()) return "needs an address, as in 192.0.2.1:3260";
        action.variant = arguments.take_if("permanent");
        return {};
    case FaultKind::Resize: return read_resize(action, arguments);
    case FaultKind::Drop:
    case FaultKind::DropReply:
    case FaultKind::Reset:
    case FaultKind::Close:
    case FaultKind::CorruptData:
    case FaultKind::LosePdu:
    case FaultKind::Busy:
    case FaultKind::TaskSetFull:
    case FaultKind::ReservationConflict:
    case FaultKind::AsyncVendor:
    case FaultKind::Ping: return {};
    }
    return {};
}

}  // namespace

std::string_view fault_name(FaultKind kind) {
    const auto found = std::ranges::find(kKinds, kind, &NamedKind::kind);
    return found == kKinds.end() ? "?" : found->name;
}

std::expected<FaultRule, std::string> parse_fault(std::string_view text) {
    const auto fail = [&](const std::string& why) {
        return std::unexpected{"the fault " + quoted(text) + " " + why};
    };
    const Words words = words_of(text);
    FaultRule rule;
    rule.text = text;
    auto word = words.begin();
    for (; word != words.end() && (word->contains('=') || *word == "now"); ++word) {
        if (*word == "now") continue;
        if (auto problem = set_word(rule, *word)) return fail(*problem);
    }
    if (word == words.end()) return fail("names no action; actions are " + names_of(kKinds));
    const auto kind = std::ranges::find(kKinds, *word, &NamedKind::name);
    if (kind == kKinds.end())
        return fail("knows no action " + quoted(*word) + "; actions are " + names_of(kKinds));
    rule.action.kind = kind->kind;
    Arguments arguments{
        std::span{words}.subspan(static_cast<std::size_t>(word - words.begin()) + 1)};
    if (auto problem = read_arguments(rule.action, arguments)) return fail(*problem);
    if (!arguments.empty()) return fail("has a word too many: " + quoted(arguments.take()));
    rule.action.connection = rule.connection;
    return rule;
}

}  // namespace holdfast::target
