/// Input: one byte, then the answer to SendTargets. The answer is parsed whole and in pieces of as
/// many bytes as the first byte says: both must find the same.
#include <string>
#include <vector>

#include "base/assert.h"
#include "initiator/login/send_targets.h"
#include "tests/fuzz/input.h"

namespace holdfast::initiator {
namespace {

struct Result {
    std::vector<Finding> findings;
    SendTargetsError error = SendTargetsError::None;
    std::uint32_t ignored = 0;
};

Result parse(std::span<const std::byte> text, std::size_t piece_bytes) {
    SendTargetsParser parser;
    Result result;
    while (!text.empty()) {
        auto piece = text.first(std::min(piece_bytes, text.size()));
        text = text.subspan(piece.size());
        while (const auto finding = parser.poll(piece)) result.findings.push_back(*finding);
        HF_ASSERT(piece.empty());
    }
    if (const auto finding = parser.finish()) result.findings.push_back(*finding);
    result.error = parser.error();
    result.ignored = parser.ignored_count();
    return result;
}

bool is_same(const Finding& a, const Finding& b) {
    if (!(a.target == b.target) || a.address.has_value() != b.address.has_value()) return false;
    if (!a.address) return true;
    return a.address->portal.host == b.address->portal.host &&
           a.address->portal.port == b.address->portal.port && a.address->tag == b.address->tag;
}

}  // namespace
}  // namespace holdfast::initiator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    fuzz::Input input{data, size};
    const std::size_t piece_bytes = input.byte() + std::size_t{1};
    const auto text = input.rest();
    const Result whole = parse(text, text.size() + 1);
    const Result pieces = parse(text, piece_bytes);
    HF_ASSERT(whole.error == pieces.error && whole.ignored == pieces.ignored);
    HF_ASSERT(std::ranges::equal(whole.findings, pieces.findings, is_same));
    for (const Finding& finding : whole.findings) {
        HF_ASSERT(normalise_name(finding.target.view()));
    }
    return 0;
}
