#include "reserve/process_plan.h"

#include "reserve/memory_map.h"

namespace holdfast::reserve {

namespace {

// Adds up, part by part, what of `mapping` lies in sparse ranges: all of it, and what is present.
struct SparseShare {
    std::uint64_t all = 0;
    std::uint64_t present = 0;
};

SparseShare sparse_share(const Mapping& mapping,
                         std::span<const std::span<const std::byte>> sparse) noexcept {
    SparseShare share;
    AddressRange left{.start = mapping.start, .end = mapping.end};
    while (left.bytes() > 0) {
        const AddressRange part = first_part_in(left, sparse);
        share.all += part.bytes();
        PresentRuns runs{part};
        while (const auto run = runs.next()) share.present += run->bytes();
        left.start = part.end;
    }
    return share;
}

void count(const Mapping& mapping, std::uint64_t dense, ImageFacts& image) noexcept {
    const ByteCount bytes{dense};
    if (mapping.is_stack()) {
        image.stack += bytes;
    } else if (mapping.executable) {
        image.text += bytes;
    } else if (mapping.of_file && !mapping.writable) {
        // Pages that the loader relocated are our own, although they are read-only by now.
        image.data += mapping.anonymous;
        image.constants += bytes - mapping.anonymous;
    } else {
        image.data += bytes;
    }
}

}  // namespace

OrErrno<ImageFacts> measure_image(std::span<const std::span<const std::byte>> sparse) noexcept {
    ImageFacts image;
    MappingReader reader;
    if (const auto opened = reader.open(); !opened) return std::unexpected(opened.error());
    while (const auto mapping = reader.next()) {
        if (mapping->of_kernel || !mapping->has_access()) continue;
        const SparseShare share = sparse_share(*mapping, sparse);
        image.sparse += ByteCount{share.present};
        count(*mapping, mapping->bytes() - share.all, image);
    }
    if (const auto error = reader.error()) return std::unexpected(*error);
    return image;
}

void add_image_to_plan(MemoryPlan& plan, const ImageFacts& image, ByteCount heap_more) noexcept {
    plan.add({.name = "text",
              .count = 1,
              .each = image.text,
              .reason = "code of the program and its libraries: any line of it may run next"});
    plan.add({.name = "constants",
              .count = 1,
              .each = image.constants,
              .reason = "read-only pages of the same files"});
    plan.add({.name = "data",
              .count = 1,
              .each = image.data,
              .reason = "variables, relocated tables, thread-local storage"});
    plan.add({.name = "stack",
              .count = 1,
              .each = image.stack,
              .reason = "the main thread's, present down to its promised depth; cannot grow"});
    plan.add({.name = "heap at start",
              .count = 1,
              .each = image.sparse,
              .reason = "jemalloc's tables and what was allocated before main()"});
    plan.add({.name = "heap reserve",
              .count = 1,
              .each = heap_more,
              .reason = "what setting up may still allocate; the heap refuses more"});
}

}  // namespace holdfast::reserve
