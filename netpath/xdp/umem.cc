#include "netpath/xdp/umem.h"

namespace holdfast::netpath::xdp {

namespace {

constexpr std::size_t kPageBytes = 4096;

}  // namespace

void Umem::add_to_plan(reserve::MemoryPlan& plan, const UmemShape& shape) noexcept {
    plan.add({.name = "packet frames",
              .count = shape.frames,
              .each = ByteCount{shape.frame_bytes},
              .reason = "receive windows, fill rings and transmit ring of the reserved path",
              .alignment = kPageBytes});
    plan.add_objects<FrameNumber>("free frames", shape.frames, "a queue of their numbers");
    plan.add_objects<std::uint8_t>("frame marks", shape.frames, "no frame is in two places");
}

Umem::Umem(const UmemShape& shape, reserve::Region& region) noexcept
    : shape_(shape),
      bytes_(region.carve_bytes(std::size_t{shape.frames} * shape.frame_bytes, kPageBytes)),
      free_(region.carve<FrameNumber>(shape.frames)),
      is_free_(region.carve<std::uint8_t>(shape.frames)) {
    HF_ASSERT(shape.frame_bytes == 2048 || shape.frame_bytes == 4096);
    HF_ASSERT(shape.frames > 0 && bytes_.size() % kPageBytes == 0);
    for (FrameNumber number = 0; number < shape.frames; ++number) give_back(number);
}

}  // namespace holdfast::netpath::xdp
