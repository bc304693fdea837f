#include "stress/target/negotiate.h"
#include "stress/target/one_of.h"

#include <algorithm>
#include <array>
#include <optional>

namespace holdfast::target {
namespace {

constexpr std::string_view kReject = "Reject";
constexpr std::string_view kIrrelevant = "Irrelevant";
constexpr std::string_view kNotUnderstood = "NotUnderstood";
constexpr std::uint64_t kSegmentBytesMin = 512;
constexpr std::uint64_t kSegmentBytesMax = (1U << 24) - 1;

/// Keys that have no meaning in a discovery session. Section 13, "irrelevant when".
constexpr std::array kNormalOnly{
    std::string_view{"MaxConnections"},    std::string_view{"InitialR2T"},
    std::string_view{"ImmediateData"},     std::string_view{"FirstBurstLength"},
    std::string_view{"MaxOutstandingR2T"}, std::string_view{"DataPDUInOrder"},
    std::string_view{"MaxBurstLength"},    std::string_view{"DataSequenceInOrder"}};

std::optional<std::uint64_t> number_within(std::string_view value, std::uint64_t low,
                                           std::uint64_t high) {
    const auto number = parse_number(value);
    if (!number || *number < low || *number > high) return {};
    return number;
}

/// A key whose answer is the smaller or the larger of the two numbers.
struct NumberKey {
    std::string_view key;
    std::uint64_t low;
    std::uint64_t high;
    std::uint64_t ours;
    bool smaller_wins;
    std::uint32_t* active;
};

bool offers(std::string_view list, std::string_view wanted) {
    return is_one_of(wanted, split_list(list));
}

}  // namespace

bool Negotiation::answer_number(const KeyValue& offer, TextWriter& out) {
    std::uint32_t ignored = 0;
    const std::array keys{
        NumberKey{"MaxBurstLength", kSegmentBytesMin, kSegmentBytesMax, policy_.max_burst_bytes,
                  true, &session_.max_burst_bytes},
        NumberKey{"FirstBurstLength", kSegmentBytesMin, kSegmentBytesMax, policy_.first_burst_bytes,
                  true, &session_.first_burst_bytes},
        NumberKey{"MaxOutstandingR2T", 1, 65'535, policy_.max_outstanding_r2t, true,
                  &session_.max_outstanding_r2t},
        NumberKey{"MaxConnections", 1, 65'535, policy_.max_connections, true,
                  &session_.max_connections},
        NumberKey{"DefaultTime2Wait", 0, 3600, policy_.time2wait_s, false, &session_.time2wait_s},
        NumberKey{"DefaultTime2Retain", 0, 3600, policy_.time2retain_s, true,
                  &session_.time2retain_s},
        NumberKey{"ErrorRecoveryLevel", 0, 2, policy_.recovery_level, true,
                  &session_.recovery_level},
        NumberKey{"iSCSIProtocolLevel", 0, 31, 1, true, &ignored},
    };
    const auto found = std::ranges::find(keys, offer.key, &NumberKey::key);
    if (found == keys.end()) return false;
    const auto theirs = number_within(offer.value, found->low, found->high);
    if (!theirs) {
        out.add(offer.key, kReject);
        return true;
    }
    const std::uint64_t agreed =
        found->smaller_wins ? std::min(*theirs, found->ours) : std::max(*theirs, found->ours);
    *found->active = static_cast<std::uint32_t>(agreed);
    out.add(offer.key, agreed);
    return true;
}

bool Negotiation::answer_boolean(const KeyValue& offer, TextWriter& out) {
    struct BooleanKey {
        std::string_view key;
        bool ours;
        bool either_is_enough;
        bool* active;
    };
    bool ignored = false;
    const std::array keys{
        BooleanKey{"InitialR2T", policy_.initial_r2t, true, &session_.initial_r2t},
        BooleanKey{"ImmediateData", policy_.immediate_data, false, &session_.immediate_data},
        BooleanKey{"DataPDUInOrder", policy_.data_pdu_in_order, true, &session_.data_pdu_in_order},
        BooleanKey{"DataSequenceInOrder", policy_.data_sequence_in_order, true,
                   &session_.data_sequence_in_order},
        BooleanKey{"IFMarker", false, false, &ignored},
        BooleanKey{"OFMarker", false, false, &ignored},
        BooleanKey{"RDMAExtensions", false, false, &ignored},
    };
    const auto found = std::ranges::find(keys, offer.key, &BooleanKey::key);
    if (found == keys.end()) return false;
    if (offer.value != "Yes" && offer.value != "No") {
        out.add(offer.key, kReject);
        return true;
    }
    const bool theirs = offer.value == "Yes";
    const bool agreed = found->either_is_enough ? (theirs || found->ours) : (theirs && found->ours);
    *found->active = agreed;
    out.add(offer.key, agreed ? "Yes" : "No");
    return true;
}

void Negotiation::answer_digest(const KeyValue& offer, DigestPolicy policy, bool& active,
                                TextWriter& out) {
    for (const auto value : split_list(offer.value)) {
        const bool acceptable = (value == "CRC32C" && policy != DigestPolicy::NoneOnly) ||
                                (value == "None" && policy != DigestPolicy::Required);
        if (!acceptable) continue;
        active = value == "CRC32C";
        out.add(offer.key, value);
        return;
    }
    out.add(offer.key, kReject);
}

void Negotiation::answer(const KeyValue& offer, TextWriter& out) {
    if (offer.value == kReject || offer.value == kIrrelevant || offer.value == kNotUnderstood)
        return;
    if (discovery_ && is_one_of(std::string_view{offer.key}, kNormalOnly)) {
        out.add(offer.key, kIrrelevant);
        return;
    }
    if (answer_number(offer, out) || answer_boolean(offer, out)) return;
    if (offer.key == "HeaderDigest") {
        answer_digest(offer, policy_.header_digest, link_.digests.header, out);
    } else if (offer.key == "DataDigest") {
        answer_digest(offer, policy_.data_digest, link_.digests.data, out);
    } else if (offer.key == "MaxRecvDataSegmentLength") {
        const auto bytes = number_within(offer.value, kSegmentBytesMin, kSegmentBytesMax);
        if (bytes) link_.peer_max_recv_bytes = static_cast<std::uint32_t>(*bytes);
        if (!bytes) out.add(offer.key, kReject);
    } else if (offer.key == "TaskReporting") {
        out.add(offer.key, offers(offer.value, "RFC3720") ? "RFC3720" : kReject);
    } else if (offer.key == "IFMarkInt" || offer.key == "OFMarkInt") {
        out.add(offer.key, kReject);
    } else {
        out.add(offer.key, kNotUnderstood);
    }
}

}  // namespace holdfast::target
