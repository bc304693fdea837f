/// Input: 48 bytes of a header. Every view is tried on it; one that exists is read in full.
#include <array>

#include "base/assert.h"
#include "initiator/pdu/digest.h"
#include "initiator/pdu/length.h"
#include "initiator/pdu/target_pdu.h"
#include "tests/fuzz/input.h"

namespace holdfast::initiator {
namespace {

constexpr std::uint64_t kTransferMax = 0xffff'ffffULL;

/// How many views take this header; the opcode names at most one.
int count_views(Bhs bhs) {
    return ScsiResponseView::parse(bhs).has_value() +
           TaskManagementResponseView::parse(bhs).has_value() +
           LoginResponseView::parse(bhs).has_value() + TextResponseView::parse(bhs).has_value() +
           DataInView::parse(bhs).has_value() + LogoutResponseView::parse(bhs).has_value() +
           R2tView::parse(bhs).has_value() + AsyncMessageView::parse(bhs).has_value() +
           RejectView::parse(bhs).has_value() + NopInView::parse(bhs).has_value();
}

void check_data_pdus(Bhs bhs) {
    if (const auto view = DataInView::parse(bhs)) {
        HF_ASSERT(std::uint64_t{view->buffer_offset()} + view->data_bytes() <= kTransferMax);
        HF_ASSERT(!view->has_status() || view->is_final());
        HF_ASSERT(view->has_status() || view->residual() == Residual{});
    }
    if (const auto view = R2tView::parse(bhs)) {
        HF_ASSERT(view->desired_bytes() != 0 && view->transfer_tag() != kTttReserved);
        HF_ASSERT(std::uint64_t{view->buffer_offset()} + view->desired_bytes() <= kTransferMax);
    }
    if (const auto view = ScsiResponseView::parse(bhs)) {
        HF_ASSERT(view->task_tag() != kIttReserved);
        HF_ASSERT(view->is_completed() || view->status() == ScsiStatus::Good);
        HF_ASSERT(view->status() != ScsiStatus::CheckCondition || view->data_bytes() >= 2);
        HF_ASSERT(view->residual().kind != ResidualKind::None || view->residual().count == 0);
    }
}

void check_control_pdus(Bhs bhs) {
    if (const auto view = LoginResponseView::parse(bhs)) {
        const bool success = view->status_class() == LoginStatusClass::Success;
        HF_ASSERT(!success || !view->is_transit() || view->next_stage() > view->current_stage());
        HF_ASSERT(view->isid().raw() < (1ULL << 48));
    }
    if (const auto view = TextResponseView::parse(bhs)) {
        HF_ASSERT(view->is_final() == (view->transfer_tag() == kTttReserved));
    }
    if (const auto view = NopInView::parse(bhs)) {
        HF_ASSERT(!(view->is_answer() && view->wants_answer()));
        HF_ASSERT(view->is_answer() || view->data_bytes() == 0);
    }
    if (const auto view = AsyncMessageView::parse(bhs)) {
        HF_ASSERT(view->event() <= AsyncEvent::TaskTermination ||
                  view->event() == AsyncEvent::Vendor);
    }
    if (const auto view = RejectView::parse(bhs)) {
        HF_ASSERT(view->has_rejected_header() == (view->data_bytes() >= kBhsBytes));
    }
}

}  // namespace
}  // namespace holdfast::initiator

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace holdfast;
    using namespace holdfast::initiator;
    std::array<std::byte, kBhsBytes> header{};
    fuzz::Input input{data, size};
    std::ranges::copy(input.bytes(kBhsBytes), header.begin());
    const Bhs bhs{header};
    const int views = count_views(bhs);
    HF_ASSERT(views <= 1 && (views == 0 || opcode_of(bhs).has_value()));
    check_data_pdus(bhs);
    check_control_pdus(bhs);
    const PduLayout layout = layout_of(bhs, {true, true});
    HF_ASSERT(layout.total_bytes() % 4 == 0 && layout.data_bytes <= kDataSegmentBytesMax);
    Crc32c whole;
    whole.update(header);
    Crc32c halves;
    halves.update(std::span{header}.first(size % kBhsBytes));
    halves.update(std::span{header}.subspan(size % kBhsBytes));
    HF_ASSERT(whole.wire() == halves.wire());
    return 0;
}
