/// What control and the loader say to each other: control asks for a classifier on an interface,
/// the loader answers with its descriptors (gate.h) or with what failed. The loader is a process of
/// its own, because control may neither load BPF programs nor start anything. One question at a
/// time.
#pragma once

#include <cstdint>
#include <type_traits>

namespace holdfast::daemon {

struct LoaderRequest {
    static constexpr std::uint32_t kMagic = 0x48'46'4c'51;  // "HFLQ"

    std::uint32_t magic = kMagic;
    std::uint32_t interface_index = 0;
    std::uint8_t may_be_generic = 0;
    std::uint8_t unused[3]{};
};

struct LoaderReply {
    static constexpr std::uint32_t kMagic = 0x48'46'4c'41;  // "HFLA"

    std::uint32_t magic = kMagic;
    std::int32_t error = 0;  ///< An errno; 0: the descriptors come with it.
    std::uint8_t step = 0;   ///< netpath::classifier::LoadStep.
    std::uint8_t is_native = 0;
    std::uint8_t unused[2]{};
};
static_assert(std::is_trivially_copyable_v<LoaderRequest>);
static_assert(std::is_trivially_copyable_v<LoaderReply>);

}  // namespace holdfast::daemon
